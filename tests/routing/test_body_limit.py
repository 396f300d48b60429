"""A body over 64 KiB is refused before its end, whether or not its length is declared."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serving import protocol
from tests.support.serving import ORIGIN, bearer

LIMIT = 64 * 1024  # bytes
TOO_LARGE = {"detail": "The body is larger than 64 KiB.", "code": "PAYLOAD_TOO_LARGE"}
DECLARED, CHUNKED = f"Content-Length: {10**12}", "Transfer-Encoding: chunked"

with_both = pytest.mark.parametrize("method", ["POST", "PUT"])
Create = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service wait less for the rest of a body, which these tests do not send."""
    monkeypatch.setattr(protocol, "LINGER_TIME", 0.2)


def body_of(size: int, ends: bytes = b'{"title": "x"}') -> bytes:
    return ends.ljust(size)


def in_chunks(body: bytes) -> Iterator[bytes]:
    """Yield `body` in pieces, so that httpx declares no length."""
    yield from (body[start : start + 1000] for start in range(0, len(body), 1000))


@pytest.fixture
def path(alice: str, create: Create) -> Callable[[str], str]:
    """A function that returns a path to which a method can send a body."""
    task_id = create()["id"]
    return lambda method: f"/api/{alice}/tasks" + (f"/{task_id}" if method == "PUT" else "")


@with_both
@pytest.mark.parametrize("form", [bytes, in_chunks])
def test_a_body_of_64_kib_is_accepted(
    method: str, form: Callable[[bytes], Any], client: httpx.Client, path: Callable[[str], str]
) -> None:
    content = form(body_of(LIMIT))
    headers = {"Content-Type": "application/json"}
    response = client.request(method, path(method), content=content, headers=headers)
    assert response.status_code in (200, 201), response.text


@with_both
@pytest.mark.parametrize("form", [bytes, in_chunks])
@pytest.mark.parametrize("size", [LIMIT + 1, 20 * LIMIT])
def test_a_body_over_64_kib_is_refused_with_a_413(
    method: str,
    form: Callable[[bytes], Any],
    size: int,
    client: httpx.Client,
    path: Callable[[str], str],
) -> None:
    content = form(body_of(size))
    headers = {"Content-Type": "application/json"}
    response = client.request(method, path(method), content=content, headers=headers)
    assert (response.status_code, response.json()) == (413, TOO_LARGE)
    assert response.headers["connection"] == "close"


def test_the_limit_counts_bytes_and_not_characters(client: httpx.Client, alice: str) -> None:
    body = {"title": "x", "other": "😀" * (LIMIT // 4)}
    assert client.post(f"/api/{alice}/tasks", json=body).status_code == 413


@pytest.fixture
def connection(base_url: str) -> Iterator[socket.socket]:
    where = urlsplit(base_url)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=5) as connection:
        yield connection


def head(method: str, path: str, user_id: str, *fields: str) -> bytes:
    """Return the head of a request, without a body."""
    token = bearer(user_id)["Authorization"]
    lines = [f"{method} {path} HTTP/1.1", "Host: tasks", f"Authorization: {token}", *fields]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


def response_on(connection: socket.socket) -> bytes:
    """Read until the service closes the connection. Raises TimeoutError if it does not."""
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


@with_both
def test_a_declared_length_is_refused_before_the_body_is_sent(
    method: str, connection: socket.socket, path: Callable[[str], str], alice: str
) -> None:
    connection.sendall(head(method, path(method), alice, DECLARED))
    assert response_on(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("zeros", [1, 5000, 40_000])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 201), (LIMIT + 1, 413)])
def test_a_content_length_may_have_leading_zeros(
    zeros: int, size: int, status: int, connection: socket.socket, alice: str
) -> None:
    field = f"Content-Length: {'0' * zeros}{size}"
    close = "Connection: close"
    connection.sendall(head("POST", f"/api/{alice}/tasks", alice, field, close) + body_of(size))
    assert response_on(connection).startswith(b"HTTP/1.1 %d " % status)


@with_both
def test_a_chunked_body_is_refused_before_its_end(
    method: str, connection: socket.socket, path: Callable[[str], str], alice: str
) -> None:
    chunk = b"%x\r\n%b\r\n" % (LIMIT + 1, b" " * (LIMIT + 1))
    connection.sendall(head(method, path(method), alice, CHUNKED) + chunk)
    assert response_on(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("field", "frame"), [(DECLARED, b"%b"), (CHUNKED, b"10000\r\n%b\r\n")])
def test_an_endless_body_is_cut_off(
    field: str, frame: bytes, connection: socket.socket, alice: str
) -> None:
    connection.sendall(head("POST", f"/api/{alice}/tasks", alice, field))
    sent = 0
    with suppress(ConnectionError):
        while sent < 1000 * LIMIT:
            connection.sendall(frame % (b" " * LIMIT))
            sent += LIMIT
    assert sent < 1000 * LIMIT


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_large_body_is_refused_by_operations_that_need_none(
    method: str, connection: socket.socket, alice: str, create: Create
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}" + ("/complete" if method == "PATCH" else "")
    connection.sendall(head(method, path, alice, DECLARED))
    assert response_on(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_large_chunked_body_is_refused_by_operations_that_need_none(
    method: str, connection: socket.socket, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    path = f"/api/{alice}/tasks/{task['id']}"
    called = path + ("/complete" if method == "PATCH" else "")
    connection.sendall(head(method, called, alice, CHUNKED) + b"20000\r\n" + b" " * 0x20000)
    assert response_on(connection).startswith(b"HTTP/1.1 413 ")
    assert client.get(path).json() == task


def test_a_client_that_is_still_sending_gets_the_response(
    connection: socket.socket, alice: str
) -> None:
    connection.sendall(head("POST", f"/api/{alice}/tasks", alice, f"Content-Length: {20 * LIMIT}"))
    for _ in range(20):
        connection.sendall(b" " * LIMIT)
    assert response_on(connection).startswith(b"HTTP/1.1 413 ")


def test_after_a_response_the_rest_of_a_body_is_read_up_to_a_limit(
    connection: socket.socket, alice: str
) -> None:
    anonymous = head("POST", f"/api/{alice}/tasks", alice, DECLARED).replace(b"Bearer", b"Nobody")
    connection.sendall(anonymous)
    assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
    sent = 0
    with suppress(ConnectionError):
        while sent < 1000 * LIMIT:
            connection.sendall(b" " * LIMIT)
            sent += LIMIT
    assert sent < 1000 * LIMIT


@pytest.mark.parametrize("field", [b"X-%d: %b\r\n", b"%.0d%b"])
def test_an_endless_head_is_cut_off(field: bytes, connection: socket.socket) -> None:
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: tasks\r\nX-Large: ")
    with suppress(ConnectionError):
        for number in range(1000):
            connection.sendall(field % (number, b"x" * LIMIT))
    assert number < 999
    received = response_on(connection)
    assert not received or received.startswith(b"HTTP/1.1 431 ")


def test_a_large_head_gets_a_431(connection: socket.socket) -> None:
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: tasks\r\nX-Large: " + b"x" * LIMIT)
    head, _, body = response_on(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body) == {
        "detail": "The path and the headers are larger than 64 KiB, or there are over 100 headers.",
        "code": "HEADERS_TOO_LARGE",
    }


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
@pytest.mark.parametrize(("rest", "status"), [(b"x" * LIMIT, 431), (b"\0", 400)])
def test_an_allowed_page_may_read_errors_about_malformed_requests(
    rest: bytes, status: int, origin: str, connection: socket.socket, client: httpx.Client
) -> None:
    """The CORS headers are the same as those of any other response."""
    named = {"Origin": origin, "X-Request-ID": "the-id"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = f"GET /health/live HTTP/1.1\r\nHost: tasks\r\n{fields}X-Large: "
    connection.sendall(head.encode() + rest)
    first, *lines = response_on(connection).decode().partition("\r\n\r\n")[0].split("\r\n")
    refused = dict(line.split(": ", 1) for line in lines)
    assert first.startswith(f"HTTP/1.1 {status} ")
    assert refused["x-request-id"] == "the-id"
    usual = client.get("/health/live", headers={"Origin": origin}).headers
    for name in ("vary", *(name for name in usual if name.startswith("access-control-"))):
        assert refused[name] == usual[name]
    assert ("access-control-allow-origin" in refused) == (origin == ORIGIN)
