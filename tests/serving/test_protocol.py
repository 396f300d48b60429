"""Clients that are slow, disconnect, or do not speak HTTP."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy.engine import URL

from routing import body
from serving import protocol
from serving.buffer import RequestBuffer
from serving.memory_budget import FREE
from tests.support.responses import invalid_input
from tests.support.services import (
    backends_that_wait,
    database_of_its_own,
    eventually,
    locked_tasks,
    recorded_log,
    service,
    sql,
)
from tests.support.serving import bearer

TASKS = "/api/alice/tasks"
REQUEST_TIMEOUT = {
    "detail": "The request did not arrive in time; send it again.",
    "code": "REQUEST_TIMEOUT",
}
NO_HTTP = invalid_input(("request", "The request must begin with a request line of HTTP/1.1."))
HEAD = "\r\n".join(
    (
        f"POST {TASKS} HTTP/1.1",
        "Host: tasks",
        f"Authorization: {bearer('alice')['Authorization']}",
        "Content-Type: application/json",
        "Content-Length: 16",
        "",
        "",
    )
).encode()
BODY = b'{"title":"Milk"}'
LENGTHS = [
    b"Content-Length: %b\r\n" % value
    for value in (b"-1", b"+1", b"", b"1, 1", b"9" * 30, b"1\r\nContent-Length: 1")
]
LINES = [b"Foo : x\r\n", b"a: b\0c\r\n", b" a: b\r\n", b"a: b\r\n c\r\n", b"a b\r\n", b"a: b\n"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT", 0.4)
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT", 0.8)


@pytest.fixture
def connection(base_url: str, impatient: None) -> Iterator[socket.socket]:
    where = urlsplit(base_url)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=5) as connection:
        yield connection


def trickle(connection: socket.socket, text: bytes) -> bytes:
    """Send a byte every 50 ms until the service disconnects; return everything that it sent."""
    connection.settimeout(0.05)
    answered = b""
    started = time.monotonic()
    for byte in text:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.send(bytes([byte]))
        try:
            part = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionResetError:
            return answered
        if not part:
            return answered
        answered += part
        assert time.monotonic() - started < 5
    raise AssertionError("the service did not disconnect")


def everything(connection: socket.socket) -> bytes:
    """Return everything that the service sends until it closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def told(answered: bytes) -> tuple[int, object]:
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split(b" ")[1]), json.loads(body)


def test_the_time_limits_have_the_documented_values() -> None:
    assert (body.BODY_TIMEOUT, protocol.REQUEST_TIMEOUT) == (10, 15)


def test_a_body_that_arrives_too_slowly_is_a_408(connection: socket.socket) -> None:
    connection.sendall(HEAD.replace(b"Length: 16", b"Length: 160"))
    assert told(trickle(connection, b" " * 100)) == (408, REQUEST_TIMEOUT)


def test_a_head_that_arrives_too_slowly_is_a_408(connection: socket.socket) -> None:
    assert told(trickle(connection, HEAD)) == (408, REQUEST_TIMEOUT)


def test_a_second_head_that_arrives_too_slowly_is_a_408(connection: socket.socket) -> None:
    connection.sendall(HEAD + BODY)
    assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    assert told(trickle(connection, HEAD)) == (408, REQUEST_TIMEOUT)


def test_an_unread_body_has_the_same_time_limit(connection: socket.socket) -> None:
    connection.sendall(HEAD.replace(b"POST", b"GET").replace(b"Length: 16", b"Length: 160"))
    answered = trickle(connection, b" " * 100)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.count(b"HTTP/1.1") == 1


def test_a_silent_connection_is_closed(connection: socket.socket) -> None:
    assert connection.recv(65536) == b""


def test_a_connection_stays_open_between_requests(connection: socket.socket) -> None:
    """It stays open through pauses, and longer in total than one request may take."""
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        connection.sendall(HEAD + BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
        time.sleep(0.3)


@pytest.mark.parametrize("text", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\x00" + HEAD])
def test_malformed_http_gets_a_json_400(connection: socket.socket, text: bytes) -> None:
    connection.sendall(text)
    assert told(connection.recv(65536)) == (400, NO_HTTP)
    assert connection.recv(65536) == b""


LINE = "The request must begin with a request line of HTTP/1.1."
LENGTH = "The request must have one Content-Length, which is a number of bytes."
HEADERS = "The request must have well-formed headers."
START = b"GET / HTTP/1.1\r\nHost: tasks\r\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"GET  / HTTP/1.1\r\nHost: tasks\r\n", LINE),
        (b"GET x HTTP/1.1\r\nHost: tasks\r\n", LINE),
        (b"SETUP / HTTP/1.1\r\nHost: tasks\r\n", "The request must be well-formed HTTP/1.1."),
        *((START + line, LENGTH) for line in LENGTHS),
        *((START + line, HEADERS) for line in LINES),
    ],
)
def test_the_400_names_what_is_malformed(
    connection: socket.socket, text: bytes, message: str
) -> None:
    connection.sendall(text + b"\r\n")
    assert told(connection.recv(65536)) == (400, invalid_input(("request", message)))


def test_a_malformed_request_is_refused_after_the_previous_response(
    connection: socket.socket,
) -> None:
    connection.sendall(HEAD + BODY + b"\r\n\r\n???\r\n\r\n")
    received = everything(connection)
    first, second = received.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"201 ")
    assert told(b"HTTP/1.1 " + second) == (400, NO_HTTP)


def test_a_head_that_is_too_large_is_refused_after_the_previous_response(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url) as client,
        locked_tasks(url) as release,
        leaving(client, "POST", TASKS) as connection,
    ):
        eventually(lambda: backends_that_wait(url))
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000)
        time.sleep(0.3)
        release()
        first, second = everything(connection).split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"201 ")
        assert second.startswith(b"431 ")


@pytest.mark.parametrize("body", [b"", BODY, b" " * 3000 + BODY])
def test_many_pipelined_requests_wait_in_the_kernel(
    connection: socket.socket, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    lengths = []
    append = RequestBuffer.append

    def measured(self: RequestBuffer, data: bytes) -> None:
        append(self, data)
        lengths.append(len(self))

    monkeypatch.setattr(RequestBuffer, "append", measured)
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    asked = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n" + length
    with ThreadPoolExecutor() as threads:
        threads.submit(
            connection.sendall,
            (asked + b"\r\n" + body) * 499 + asked + b"Connection: close\r\n\r\n" + body,
        )
        received = everything(connection)
    assert received.count(b"HTTP/1.1 200 ") == 500
    assert max(lengths) < protocol.PIPELINED + FREE


def test_many_pipelined_requests_are_all_served(connection: socket.socket) -> None:
    asked = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"
    with ThreadPoolExecutor() as threads:
        last = asked.replace(b"tasks\r\n", b"tasks\r\nConnection: close\r\n")
        threads.submit(connection.sendall, asked * 4999 + last)
        received = everything(connection)
    assert received.count(b"HTTP/1.1 200 ") == received.count(b"HTTP/1.1") == 5000


def test_a_few_pipelined_requests_are_served(connection: socket.socket) -> None:
    asked = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"
    connection.sendall(asked * 10 + asked.replace(b"tasks\r\n", b"tasks\r\nConnection: close\r\n"))
    answered = b""
    while part := connection.recv(65536):
        answered += part
    assert answered.count(b"HTTP/1.1 200 ") == 11


def test_a_body_with_malformed_chunks_is_refused(connection: socket.socket) -> None:
    connection.sendall(HEAD.replace(b"Content-Length: 16", b"Transfer-Encoding: chunked") + b"x")
    message = "The request must have chunks that begin with their size."
    error = invalid_input(("request", message))
    assert told(connection.recv(65536)) == (400, error)


def leaving(client: httpx.Client, method: str, path: str) -> socket.socket:
    """Send a whole request on a new connection, and return the connection for the test to close."""
    where = client.base_url
    connection = socket.create_connection((where.host, where.port or 80), timeout=5)
    connection.sendall(HEAD.replace(f"POST {TASKS}".encode(), f"{method} {path}".encode()) + BODY)
    return connection


@pytest.mark.parametrize(
    ("method", "tail", "said"),
    [
        (
            "POST",
            "",
            "[201 (made /api/alice/tasks/2), but the client disconnected before the response",
        ),
        ("PUT", "/1", "[200, but the client disconnected before the response"),
        ("PATCH", "/1/complete", "[200, but the client disconnected before the response"),
        ("DELETE", "/1", "[204, but the client disconnected before the response"),
    ],
)
def test_a_write_whose_client_disconnected_is_logged(
    postgres: URL, method: str, tail: str, said: str
) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url) as client,
        recorded_log() as log,
        ThreadPoolExecutor() as threads,
    ):
        assert client.post(TASKS, json={"title": "Buy milk"}).status_code == 201
        with locked_tasks(url) as release:
            connection = leaving(client, method, TASKS + tail)
            eventually(lambda: backends_that_wait(url))
            connection.close()
            time.sleep(0.1)
            release()
        threads.submit(eventually, lambda: said in log.getvalue()).result()
        time.sleep(0.1)  # time for a second line
        [line] = [line for line in log.getvalue().splitlines() if said in line]
        assert f"[WARNING] [alice] [{method} {TASKS}{tail}]" in line
        left = sql(url, "SELECT count(*) FROM tasks")
        assert left == [({"POST": 2, "DELETE": 0}.get(method, 1),)]


def test_a_write_whose_response_arrives_is_not_logged(client: httpx.Client, alice: str) -> None:
    with recorded_log() as log:
        for _ in range(20):
            made = client.post(f"/api/{alice}/tasks", json={"title": "Buy milk"})
            client.patch(made.headers["location"] + "/complete")
            client.delete(made.headers["location"])
    assert "disconnected" not in log.getvalue()
