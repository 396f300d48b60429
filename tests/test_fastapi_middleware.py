"""Added middleware, mounted applications, and WebSocket routes, which are refused at import."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy.engine import URL
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, Router, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import APIError
from serving import exchange
from tests.support.fastapi_application import client_of, new_app
from tests.support.services import recorded_log
from tests.support.serving import ORIGIN

TASKS = "/api/alice/tasks"
Next = Callable[[Request], Awaitable[Response]]


class Marking:
    """Middleware that adds its name to a header and records each status."""

    def __init__(self, app: ASGIApp, name: str, seen: list[int]) -> None:
        self.app, self.name, self.seen = app, name, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(message["status"])
                message["headers"] = [*message["headers"], (b"x-mark", self.name.encode())]
            await send(message)

        await self.app(scope, receive, marked if scope["type"] == "http" else send)


REQUESTS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", TASKS, {}, 200),
    ("GET", TASKS, {"headers": {"Authorization": ""}}, 401),
    ("GET", "/api/bob/tasks", {}, 403),
    ("GET", "/nowhere", {}, 404),
    ("GET", f"{TASKS}/999999999", {}, 404),
    ("PUT", "/health", {}, 405),
    ("POST", TASKS, {"content": "x" * 65_537}, 413),
    ("POST", TASKS, {"json": {}}, 400),
    ("GET", "/bug", {}, 500),
]


@pytest.fixture(scope="module")
def seen() -> list[int]:
    return []


@pytest.fixture(scope="module")
def marked(postgres: URL, seen: list[int]) -> Iterator[TestClient]:
    app = new_app(postgres)
    app.add_middleware(Marking, name="first", seen=seen)

    @app.middleware("http")
    async def function(request: Request, call_next: Next) -> Response:
        response = await call_next(request)
        response.headers["X-Status"] = str(response.status_code)
        return response

    app.add_middleware(Marking, name="last", seen=[])

    @app.get("/bug")
    async def bug() -> None:
        raise ArithmeticError

    with client_of(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "request_", "status"), REQUESTS)
def test_added_middleware_sees_every_response(
    marked: TestClient,
    seen: list[int],
    method: str,
    path: str,
    request_: dict[str, Any],
    status: int,
) -> None:
    seen.clear()
    response = marked.request(method, path, **request_)
    assert response.status_code == status
    assert seen == [status]
    assert response.headers["x-status"] == str(status)
    assert response.headers["x-mark"] == "first, last"  # the last one added is the outermost
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in response.headers
    assert status < 400 or set(response.json()) >= {"detail", "code"}


def test_a_response_made_by_middleware_keeps_its_body_and_gets_our_headers(postgres: URL) -> None:
    app = new_app(postgres)

    @app.middleware("http")
    async def close(request: Request, call_next: Next) -> Response:
        return PlainTextResponse("closed", 503)

    with client_of(app) as client:
        response = client.get(TASKS)
    assert (response.status_code, response.text) == (503, "closed")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_bug_in_middleware_is_a_500_with_a_detail_and_a_code(postgres: URL) -> None:
    app = new_app(postgres)

    @app.middleware("http")
    async def broken(request: Request, call_next: Next) -> Response:
        raise ArithmeticError

    with client_of(app, raise_server_exceptions=False) as client:
        response = client.get(TASKS)
    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_a_bug_below_middleware_is_logged_once(postgres: URL) -> None:
    app = new_app(postgres)
    app.add_middleware(Marking, name="one", seen=[])

    @app.get("/bug")
    async def bug() -> None:
        raise ArithmeticError

    with client_of(app) as client, recorded_log() as log:
        with pytest.raises(ArithmeticError):
            client.get("/bug")
        assert log.getvalue().count("500 INTERNAL_ERROR") == 1


@pytest.mark.parametrize("reads", [False, True], ids=["endpoint reads", "middleware reads"])
@pytest.mark.parametrize("path", ["/json", "/body"])
def test_a_chunked_body_below_middleware_is_limited(postgres: URL, path: str, reads: bool) -> None:
    """The error of `receive` passes through the task group of `@app.middleware`."""
    app = new_app(postgres)

    @app.post("/json")
    async def json(item: dict[str, int]) -> int:
        return len(item)

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.middleware("http")
    async def inner(request: Request, call_next: Next) -> Response:
        if reads:
            await request.body()
        return await call_next(request)

    @app.middleware("http")
    async def outer(request: Request, call_next: Next) -> Response:
        return await call_next(request)

    with client_of(app) as client:
        headers = {"Content-Type": "application/json"}
        response = client.post(path, content=iter([b"x" * 1000] * 70), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("content", ["x" * 70_000, None])
def test_a_body_that_middleware_reads_is_limited(postgres: URL, content: str | None) -> None:
    app = new_app(postgres)
    lengths: list[int] = []

    @app.middleware("http")
    async def reading(request: Request, call_next: Next) -> Response:
        lengths.append(len(await request.body()))
        return await call_next(request)

    with client_of(app) as client:
        parts = iter([b"x" * 1000] * 70)
        response = client.post(TASKS, content=content or parts)
        assert (response.status_code, response.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert lengths == []
        created = client.post(TASKS, json={"title": "x"})
        assert created.status_code == 201


# BaseHTTPMiddleware receives in a task group, which puts an error of `receive` into an
# ExceptionGroup. The response must be the same as without it.


class Reading(BaseHTTPMiddleware):
    """Middleware that reads the body before the route does."""

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        await request.body()
        return await call_next(request)


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        return await call_next(request)


MIDDLEWARE: dict[str, list[type[BaseHTTPMiddleware]]] = {
    "none": [],
    "one": [Passing],
    "two": [Passing, Passing],
    "reading": [Reading],
    "reading, outside": [Passing, Reading],  # the last one added is the outermost
    "reading, inside": [Reading, Passing],
}


class Word(BaseModel):
    word: str


class Failing:
    """A server whose `receive` raises an error, or returns that the client has disconnected."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.error: Exception | None = None
        self.disconnects = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def failing() -> Message:
            if self.error is not None:
                raise self.error
            return {"type": "http.disconnect"} if self.disconnects else await receive()

        await self.app(scope, failing if scope["type"] == "http" else receive, send)


@pytest.fixture(scope="module", params=MIDDLEWARE)
def received(postgres: URL, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """A service with BaseHTTPMiddleware, or without, and with routes that read a body."""
    app = new_app(postgres)
    for kind in MIDDLEWARE[request.param]:
        app.add_middleware(kind)

    @app.post("/model")
    async def model(word: Word) -> Word:
        return word

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    with client_of(Failing(app), raise_server_exceptions=False) as client:
        yield client


READING_ROUTES = [TASKS, "/model", "/raw"]
# The errors that the module of `receive` uses.
ERRORS = [
    kind
    for kind in vars(exchange).values()
    if isinstance(kind, type) and issubclass(kind, APIError) and kind is not APIError
]


def in_chunks() -> Iterator[bytes]:
    yield from [b"x" * 1000] * 70


@pytest.mark.parametrize("path", READING_ROUTES)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_a_413_with_any_middleware(
    received: TestClient, path: str, chunked: bool
) -> None:
    content = in_chunks() if chunked else b"x" * 70_000
    response = received.post(path, content=content, headers={"Content-Type": "application/json"})
    body = {"detail": "The body is larger than 64 KiB.", "code": "PAYLOAD_TOO_LARGE"}
    assert (response.status_code, response.json()) == (413, body)


@pytest.mark.parametrize("path", READING_ROUTES)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_receive_is_the_response_with_any_middleware(
    received: TestClient, path: str, chunked: bool, kind: type[APIError]
) -> None:
    server: Any = received.app
    server.error = error = kind()
    try:
        content = iter([b"{}"]) if chunked else b"{}"
        response = received.post(path, content=content)
    finally:
        server.error = None
    assert (response.status_code, response.json()) == (error.status, error.body())


@pytest.mark.parametrize("path", READING_ROUTES)
def test_a_client_that_disconnects_is_no_bug_with_any_middleware(
    received: TestClient, path: str
) -> None:
    server: Any = received.app
    server.disconnects = True
    try:
        with recorded_log() as log:
            received.post(path, content=b"{}")
    finally:
        server.disconnects = False
    assert log.getvalue().count("the client went away") == 1
    assert "INTERNAL_ERROR" not in log.getvalue()


def test_starlettes_gzip_middleware_works(postgres: URL) -> None:
    app = new_app(postgres)
    app.add_middleware(GZipMiddleware, minimum_size=10)
    with client_of(app) as client:
        assert client.get("/docs").headers["content-encoding"] == "gzip"


# Mounted applications and files.


@pytest.fixture(scope="module")
def mounted(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = new_app(postgres)
    folder: Path = tmp_path_factory.mktemp("static")
    (folder / "a.txt").write_text("static")
    (folder / "index.html").write_text("<script src=page.js></script>")
    app.mount("/static", StaticFiles(directory=folder, html=True))
    app.frontend("/frontend", directory=folder)
    app.get("/page", response_class=HTMLResponse)(lambda: "<script>0</script>")
    inner = FastAPI()

    @inner.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @inner.post("/items")
    async def create(item: dict[str, str]) -> None: ...

    app.mount("/inner", inner)

    async def starlette(request: Request) -> Response:
        return JSONResponse({"path": request.url.path})

    app.add_route("/starlette", starlette)
    with client_of(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/static/", "/frontend/", "/inner/docs", "/page"])
def test_an_added_page_may_run_its_scripts(path: str, mounted: TestClient) -> None:
    headers = mounted.get(path).headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers.get("cache-control") == (None if "etag" in headers else "no-store")
    assert headers["x-frame-options"] == "DENY"


def test_a_browser_may_keep_a_file_and_ask_whether_it_has_changed(mounted: TestClient) -> None:
    file = mounted.get("/static/a.txt").headers
    assert "cache-control" not in file
    unchanged = mounted.get("/static/a.txt", headers={"If-None-Match": file["etag"]})
    assert unchanged.status_code == 304
    assert not unchanged.headers.keys() & {"cache-control", "content-security-policy"}


@pytest.mark.parametrize("path", ["/static/a.txt", "/static/", "/frontend/a.txt", "/frontend/"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_a_405_of_a_file_names_its_methods(path: str, method: str, mounted: TestClient) -> None:
    response = mounted.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"


def test_mounted_applications_and_files_are_served(mounted: TestClient) -> None:
    assert mounted.get("/static/a.txt").text == "static"
    assert mounted.head("/static/a.txt").headers["content-length"] == "6"
    assert mounted.get("/starlette").json() == {"path": "/starlette"}
    response = mounted.get("/inner/items/3")
    assert (response.json(), response.headers["access-control-allow-origin"]) == (
        {"number": 3},
        ORIGIN,
    )


def test_a_mounted_application_keeps_the_format_of_its_errors(mounted: TestClient) -> None:
    assert mounted.get("/inner/items/x").status_code == 422
    assert mounted.get("/inner/nowhere").json() == {"detail": "Not Found"}
    assert mounted.get("/static/nowhere").json() == {"detail": "Not Found", "code": "NOT_FOUND"}
    assert mounted.post("/inner/items", json={"a": "x" * 70_000}).status_code == 413
    assert mounted.post("/static/a.txt").json()["code"] == "METHOD_NOT_ALLOWED"


# WebSocket routes are refused when they are added, because the service can't serve them.


async def socket(websocket: WebSocket) -> None: ...


def on_a_router(app: FastAPI) -> None:
    router = APIRouter()
    router.websocket("/ws")(socket)
    app.include_router(router)


def on_a_router_below(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.websocket("/ws")(socket)
    outer.include_router(inner)
    app.include_router(outer)


def later(app: FastAPI) -> None:
    router = APIRouter()
    app.include_router(router)
    router.websocket("/ws")(socket)
    TestClient(app).get("/")


def mounted_below(app: FastAPI) -> None:
    app.mount("/below", Router([Mount("/more", Router([WebSocketRoute("/ws", socket)]))]))


def appended(app: FastAPI) -> None:
    app.routes.append(WebSocketRoute("/ws", socket))
    TestClient(app).get("/")


WAYS: dict[str, Callable[[FastAPI], Any]] = {
    "app.websocket": lambda app: app.websocket("/ws")(socket),
    "app.add_api_websocket_route": lambda app: app.add_api_websocket_route("/ws", socket),
    "router": on_a_router,
    "router of a router": on_a_router_below,
    "after the inclusion": later,
    "mounted": mounted_below,
    "routes": appended,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_websocket_route_is_refused(postgres: URL, way: str) -> None:
    with pytest.raises(RuntimeError, match=r"The WebSocket route .*/ws can't be served"):
        WAYS[way](new_app(postgres))
