"""Bodies that arrive too slowly, or not at all, for an endpoint that a developer has added."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy.engine import URL

from errors import RequestTimeout
from main import create_app
from serving import memory_budget, protocol
from serving.exchange import Exchange
from serving.memory_budget import MemoryBudget
from tests.support.refusals import LINES, answer, assert_complete, connected
from tests.support.services import OVERLOADED, eventually, recorded_log
from tests.support.serving import make_settings, serving

LIMIT = 0.4  # seconds
REASON = "the body did not arrive in time"
HEAD = LINES + b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
CHUNKED = HEAD.replace(b"Content-Length: 60000", b"Transfer-Encoding: chunked")


def post(path: str, head: bytes = HEAD) -> bytes:
    return f"POST {path} HTTP/1.1\r\n".encode() + head


async def slow_parts() -> AsyncIterator[bytes]:
    for part in (b"one ", b"two ", b"three"):
        yield part
        await asyncio.sleep(LIMIT)


async def once_and_never_again() -> AsyncIterator[bytes]:
    yield b"one "
    await asyncio.Event().wait()


def add_endpoints(app: FastAPI) -> None:
    """Add endpoints that read the body before their response, after it began, or never."""

    @app.post("/json")
    async def json(item: dict[str, Any]) -> int:
        return len(item)

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.post("/late")
    async def late(request: Request) -> int:
        await asyncio.sleep(2.5 * LIMIT)
        return len(await request.body())

    @app.post("/unread")
    async def unread() -> str:
        await asyncio.sleep(2 * LIMIT)
        return "done"

    @app.post("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(once_and_never_again())

    @app.post("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(slow_parts())


def add_middleware(app: FastAPI) -> None:
    @app.middleware("http")
    async def name_it(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers["X-Middleware"] = "yes"
        return response


def add_handler(app: FastAPI) -> None:
    @app.exception_handler(RequestTimeout)
    async def name_it(request: Request, error: RequestTimeout) -> Response:
        return JSONResponse(error.body(), 408, {"X-Handler": "yes"})


@contextmanager
def running(postgres: URL, *additions: Callable[[FastAPI], None]) -> Iterator[str]:
    app, mounted = create_app(make_settings(postgres)), FastAPI()
    for add in (add_endpoints, *additions):
        add(app)
    add_endpoints(mounted)
    app.mount("/mounted", mounted)
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def url(postgres: URL) -> Iterator[str]:
    with running(postgres) as url:
        yield url


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT", LIMIT)


@pytest.mark.parametrize("sent", [HEAD, HEAD + b"{", HEAD + b"{" * 5000, CHUNKED + b"1\r\n{\r\n"])
@pytest.mark.parametrize("path", ["/json", "/body"])
def test_a_body_that_stalls_is_a_408(url: str, path: str, sent: bytes) -> None:
    with recorded_log() as log:
        response = answer(url, post(path, sent))
        assert response.status_code == 408
        assert_complete(response)
        eventually(lambda: "408 in" in log.getvalue())
    reason, *others, summary = log.getvalue().splitlines()
    assert not others
    assert f"[INFO] [-] [POST {path}] [{REASON} request_id=mine]" in reason
    assert f"[INFO] [-] [POST {path}] [408 in " in summary


def test_a_body_that_arrives_slowly_has_the_same_limit(url: str) -> None:
    began = time.monotonic()
    assert answer(url, post("/body"), *[b"{"] * 12, pause=LIMIT / 8).status_code == 408
    assert time.monotonic() - began < 3 * LIMIT


def test_a_body_for_a_mounted_application_stalls(url: str) -> None:
    assert answer(url, post("/mounted/body")).status_code == 408


@pytest.mark.parametrize(
    ("add", "header"), [(add_middleware, "x-middleware"), (add_handler, "x-handler")]
)
def test_a_middleware_or_handler_sees_the_408(
    postgres: URL, add: Callable[[FastAPI], None], header: str
) -> None:
    with running(postgres, add) as url:
        response = answer(url, post("/body"))
    assert (response.status_code, response.headers[header]) == (408, "yes")
    assert_complete(response)


def test_an_endpoint_that_does_not_read_the_body_responds(url: str) -> None:
    response = answer(url, post("/unread", HEAD + b"{"))
    assert (response.status_code, response.json()) == (200, "done")
    assert response.headers["connection"] == "close"


def test_a_body_that_the_endpoint_reads_late_is_not_too_slow(url: str) -> None:
    whole = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"x" * 60_000
    with recorded_log() as log:
        response = answer(url, post("/late", whole))
    assert (response.status_code, response.json()) == (200, 60_000)
    assert REASON not in log.getvalue()


def test_a_client_that_waits_for_100_continue_is_not_too_slow(url: str) -> None:
    """The endpoint asks for the body later than the limit."""
    head = HEAD.replace(b"60000", b"2").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with connected(url) as client:
        client.sendall(post("/late", head))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_malformed_body_during_the_response_ends_the_connection(url: str) -> None:
    """Reading has stopped then, so it would not be noticed that the client disconnects."""
    with recorded_log() as log:
        response = answer(url, post("/endless", CHUNKED), b"zz\r\n", pause=0.1)
        eventually(lambda: "[POST /endless] [200 in" in log.getvalue())
    assert response.status_code == 200
    assert not response.content.endswith(b"0\r\n\r\n")


def test_a_refused_body_leaves_nothing_for_the_garbage_collector(url: str) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert answer(url, post("/body", CHUNKED), b"zz\r\n", pause=0.1).status_code == 400
        eventually(lambda: not [each for each in gc.get_objects() if type(each) is Exchange])
    finally:
        gc.enable()


def test_a_response_that_has_begun_is_cut_off(url: str) -> None:
    with recorded_log() as log:
        response = answer(url, post("/events", CHUNKED + b"4\r\none \r\n"))
        eventually(lambda: "[POST /events] [200 in" in log.getvalue())
    assert response.status_code == 200
    assert b"one " in response.content
    assert not response.content.endswith(b"0\r\n\r\n")
    assert f"[POST /events] [{REASON} " in log.getvalue()


def test_a_response_may_take_longer_than_the_body(url: str) -> None:
    body = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"0\r\n\r\n"
    assert answer(url, post("/events", body)).content.endswith(b"5\r\nthree\r\n0\r\n\r\n")


@pytest.mark.parametrize("path", ["/json", "/body"])
@pytest.mark.parametrize("additions", [(), (add_middleware,)])
def test_a_body_without_memory_is_a_503(
    postgres: URL, path: str, additions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "MAX_WAIT", 0.1)
    with running(postgres, *additions) as url:
        monkeypatch.setattr(MemoryBudget, "has_room", lambda *_: False)
        monkeypatch.setattr(MemoryBudget, "_fits", lambda *_: False)
        response = answer(url, post(path))
    assert (response.status_code, response.json()) == (503, OVERLOADED)
    assert_complete(response)


def test_pipelined_requests_before_it_are_served(url: str) -> None:
    first = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"
    response = answer(url, first * 2 + post("/body"), after=2)
    assert response.status_code == 408
    assert_complete(response)


def test_a_malformed_body_is_not_logged_as_a_disconnected_client(url: str) -> None:
    with recorded_log() as log:
        assert answer(url, post("/body", CHUNKED), b"zz\r\n", pause=0.1).status_code == 400
        eventually(lambda: "400 in" in log.getvalue())
    [line] = log.getvalue().splitlines()
    assert "[POST /body] [400 in " in line
