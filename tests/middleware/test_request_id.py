"""`X-Request-ID`: in every response and log line, and the client's own if it is valid."""

import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy.engine import URL

from middleware.security_headers import DEFAULTS
from tests.support.fastapi_application import client_of, new_app
from tests.support.services import (
    NO_TLS,
    database_of_its_own,
    eventually,
    recorded_log,
    service,
    sql,
    unreachable,
)
from tests.support.serving import ORIGIN, serving

MADE = re.compile(r"[0-9a-f]{32}")
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}


def ids(response: httpx.Response) -> list[str]:
    return response.headers.get_list("x-request-id")


def test_a_request_without_an_id_gets_a_new_one(client: httpx.Client, alice: str) -> None:
    responses = [client.get(f"/api/{alice}/tasks") for _ in range(3)]
    made = [ids(response) for response in responses]
    assert all(len(each) == 1 and MADE.fullmatch(each[0]) for each in made)
    assert len({each[0] for each in made}) == 3


@pytest.mark.parametrize(
    "valid", ["7", "a" * 128, "0f8fad5b-d9cb-469f-a165-70867728950e", "A.b_c-9"]
)
def test_a_valid_id_of_the_client_is_kept(client: httpx.Client, alice: str, valid: str) -> None:
    assert ids(client.get(f"/api/{alice}/tasks", headers={"X-Request-ID": valid})) == [valid]


@pytest.mark.parametrize("other", ["", "a" * 129, "a b", "a,b", "a/b", "[x]", "ü", "a\tb", "%0a"])
def test_an_invalid_id_is_replaced(client: httpx.Client, alice: str, other: str) -> None:
    headers = [(b"X-Request-ID", other.encode())]
    [made] = ids(client.get(f"/api/{alice}/tasks", headers=headers))
    assert MADE.fullmatch(made)


RESPONSES: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/api/{alice}/tasks", {}, 200),
    ("POST", "/api/{alice}/tasks", {"json": {"title": "Milk"}}, 201),
    ("POST", "/api/{alice}/tasks", {"json": {}}, 400),
    ("GET", "/api/{alice}/tasks", {"headers": {"Authorization": ""}}, 401),
    ("GET", "/api/bob/tasks", {}, 403),
    ("GET", "/api/{alice}/tasks/999999999999", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("PATCH", "/api/{alice}/tasks", {}, 405),
    ("POST", "/api/{alice}/tasks", {"content": b"x" * 70_000}, 413),
    ("GET", "/health", {}, 200),
    ("HEAD", "/health/live", {}, 200),
    ("GET", "/docs", {}, 200),
    ("GET", "/openapi.json", {}, 200),
    ("OPTIONS", "/api/{alice}/tasks", {"headers": PREFLIGHT}, 200),
    ("OPTIONS", "/api/{alice}/tasks", {"headers": {**PREFLIGHT, "Origin": "https://x.y"}}, 400),
    ("GET", "/api/{alice}/tasks", {"headers": {"Origin": ORIGIN}}, 200),
    ("GET", "/nowhere", {"headers": {"Origin": ORIGIN}}, 404),
]


@pytest.mark.parametrize(("method", "path", "options", "status"), RESPONSES)
def test_every_response_has_a_request_id(
    client: httpx.Client, alice: str, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    headers = {"X-Request-ID": "mine", **options.get("headers", {})}
    response = client.request(method, path.format(alice=alice), **{**options, "headers": headers})
    assert (response.status_code, ids(response)) == (status, ["mine"])


def test_a_500_and_a_503_have_a_request_id(postgres: URL) -> None:
    with database_of_its_own(postgres) as url, service(url) as client:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Milk')")
        task, headers = {"title": "Milk"}, {"X-Request-ID": "bug"}
        response = client.post("/api/alice/tasks", json=task, headers=headers)
        assert (response.status_code, ids(response)) == (500, ["bug"])
    with unreachable() as client:
        for path in ("/api/alice/tasks", "/health"):
            response = client.get(path, headers={"X-Request-ID": "outage"})
            assert (response.status_code, ids(response)) == (503, ["outage"])


def test_a_page_may_send_and_read_the_request_id(client: httpx.Client, alice: str) -> None:
    asked = "x-request-id, traceparent, tracestate"
    headers = {**PREFLIGHT, "Access-Control-Request-Headers": asked}
    preflight = client.options(f"/api/{alice}/tasks", headers=headers)
    assert preflight.status_code == 200
    response = client.get(f"/api/{alice}/tasks", headers={"Origin": ORIGIN})
    assert "X-Request-ID" in response.headers["access-control-expose-headers"].split(", ")


@pytest.fixture
def logged(postgres: URL) -> Callable[..., list[str]]:
    """A function that sends a request to a service whose access log is on, and returns the log."""

    def logged(path: str, lines: int, **headers: str) -> list[str]:
        with (
            database_of_its_own(postgres) as url,
            service(url, access_log=True) as client,
            recorded_log() as log,
        ):
            client.get(path, headers=headers)
            eventually(lambda: log.getvalue().count("\n") >= lines)
            return log.getvalue().splitlines()

    return logged


def test_every_log_line_of_a_request_ends_with_its_id(logged: Callable[..., list[str]]) -> None:
    lines = logged("/api/bob/tasks", 2, **{"X-Request-ID": "mine"})
    assert len(lines) == 2
    assert lines[0].endswith(
        "[403 FORBIDDEN: the path is another user's client=127.0.0.1 request_id=mine]"
    )
    assert re.search(r" \[403 in [\d.]+ ms request_id=mine\]$", lines[1])


def test_a_generated_id_is_the_same_in_the_log_and_the_response(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, access_log=True) as client,
        recorded_log() as log,
    ):
        [made] = ids(client.get("/api/bob/tasks"))
        eventually(lambda: log.getvalue().count("\n") >= 2)
    assert log.getvalue().count(f" request_id={made}]\n") == 2


def test_every_log_line_of_a_response_that_is_cut_off_ends_with_its_id(postgres: URL) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"some"
        raise ArithmeticError

    app = new_app(postgres)
    app.add_api_route("/cut", lambda: StreamingResponse(parts()))
    with serving(app) as base_url, recorded_log() as log:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{base_url}/cut", headers={"X-Request-ID": "mine"}, verify=NO_TLS)
        eventually(lambda: "Exception in ASGI application" in log.getvalue())
    lines = [line for line in log.getvalue().splitlines() if " [ERROR] " in line]
    assert len(lines) == 2
    assert all(line.endswith(" request_id=mine]") for line in lines)


def test_an_id_that_a_route_sets_is_the_only_one_in_its_response(postgres: URL) -> None:
    app = new_app(postgres)
    app.add_api_route("/own", lambda: Response(headers={"X-Request-ID": "its-own"}))
    with client_of(app) as client:
        assert client.get("/own").headers.get_list("x-request-id") == ["its-own"]


def test_no_request_id_can_forge_a_log_line(base_url: str) -> None:
    """The test writes to a socket because httpx refuses to send this header."""
    host, port = httpx.URL(base_url).host, httpx.URL(base_url).port
    assert port is not None
    request = b"GET /api/x/tasks HTTP/1.1\r\nHost: x\r\nX-Request-ID: x\x85] [forged\r\n\r\n"
    with recorded_log() as log, socket.create_connection((host, port), 5) as connection:
        connection.sendall(request)
        response = connection.recv(65536)
        eventually(log.getvalue)
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", response)
    assert "forged" not in log.getvalue()


def test_malformed_http_gets_a_request_id(base_url: str) -> None:
    url = httpx.URL(base_url)
    with socket.create_connection((url.host, url.port or 80), 5) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        response = connection.recv(65536)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", response)
    assert all(b"\r\n%b: %b\r\n" % header in response for header in DEFAULTS)


def test_the_openapi_document_names_the_header_for_every_response(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    header = document["components"]["headers"]["X-Request-ID"]
    assert re.fullmatch(header["schema"]["pattern"], "mine")
    responses = [
        response
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
    ]
    reference = {"$ref": "#/components/headers/X-Request-ID"}
    assert len(responses) > 40
    assert all(response["headers"]["X-Request-ID"] == reference for response in responses)
