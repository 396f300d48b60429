"""Which route matches a path, for the project's routes and for those that a developer adds."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Path, Request, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.engine import URL
from starlette.responses import Response as StarletteResponse
from starlette.routing import Mount, Router
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from main import create_app
from routing.paths import MAX_PATH, path_to_match
from routing.route import Route
from tests.support.serving import TLS, bearer, make_settings, serving
from tokens.verifier import TokenVerifier

NOT_FOUND = {"detail": "There is nothing at this path.", "code": "NOT_FOUND"}
ENCODED_LONGEST_ID = "%F0%9F%A5%9B" * 255  # a character of four bytes


class Renaming:
    """A middleware that serves /old as /echo."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path", "").startswith("/old/"):
            scope["path"] = scope["path"].replace("/old/", "/echo/")
        await self.app(scope, receive, send)


async def echo(name: Annotated[str, Path()]) -> Response:
    return PlainTextResponse(name)


async def starlette_echo(request: Request) -> StarletteResponse:
    return PlainTextResponse(request.path_params["name"])


async def echo_nothing() -> Response:
    return JSONResponse({})


def routed(settings: Any) -> FastAPI:
    """Return the application with additional routes of every kind."""
    app = create_app(settings)
    ours = APIRouter(route_class=Route)
    ours.get("/echo/{name}")(echo)
    ours.get("/exact")(echo_nothing)
    app.router.routes.extend(ours.routes)

    app.get("/plain/{name}")(echo)
    app.get("/plain-path/{name:path}")(echo)

    included = APIRouter()
    included.get("/things/{name}")(echo)
    included.put("/things/{name}")(echo)
    app.include_router(included, prefix="/included")
    app.include_router(ours, prefix="/ours")
    app.post("/included/things/{name}")(echo)

    mounted = [
        StarletteRoute("/things/{name}", starlette_echo),
        StarletteRoute("/things/{name}", starlette_echo, methods=["PUT"]),
    ]
    app.router.routes.append(Mount("/mounted", Router(mounted)))
    return app


@pytest.fixture(scope="module")
def served(postgres: URL) -> Iterator[httpx.Client]:
    app = routed(make_settings(postgres))
    app.middleware_stack = Renaming(AsyncExitStackMiddleware(app.build_middleware_stack()))
    with serving(app) as url, httpx.Client(base_url=url, verify=TLS) as client:
        yield client


def sent(client: httpx.Client, path: str, method: str = "GET") -> httpx.Response:
    """Send a request with exactly this `path`, which httpx would otherwise normalize."""
    url = client.base_url.copy_with(raw_path=path.encode())
    return client.send(httpx.Request(method, url, headers=bearer("a/b")))


@pytest.mark.parametrize("prefix", ["/echo", "/ours/echo"])
@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("a", "a"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%2F%2F", "//"),
        ("a%252Fb", "a%2Fb"),
        ("100%", "100%"),
        ("%", "%"),
        ("%2", "%2"),
        ("%E9%2F%C3", "\ufffd/\ufffd"),
        ("%C3%2F%A9", "\ufffd/\ufffd"),
        ("%C3%A9%2F%F0%9F%A5%9B", "é/🥛"),
        ("a%0A", "a\n"),
        ("%0Ab%0a", "\nb\n"),
        ("%ED%B0%AF", "\ufffd\ufffd\ufffd"),
        ("+", "+"),
        ("a;b=c", "a;b=c"),
    ],
)
def test_a_part_of_a_path_is_decoded_once(
    served: httpx.Client, prefix: str, part: str, name: str
) -> None:
    response = sent(served, f"{prefix}/{part}")
    assert (response.status_code, response.text) == (200, name)


@pytest.mark.parametrize("path", ["/ech%6F/a", "/%65cho/a", "/exac%74"])
def test_the_letters_of_a_route_may_be_percent_encoded(served: httpx.Client, path: str) -> None:
    assert sent(served, path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/exact%0A",
        "/exact%0a",
        "/exact%2F",
        "/echo%2Fa",
        "/echo/a%2F/b",
        "/echo/a/b%2F",
        "/api/alice%2Ftasks",
        "/api/alice/tasks/1/complete%0A",
    ],
)
def test_an_encoded_slash_or_newline_does_not_end_a_part_of_a_path(
    served: httpx.Client, path: str
) -> None:
    response = sent(served, path)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/plain/a", "a"),
        ("/plain/%C3%A9", "é"),
        ("/plain-path/a%2Fb", "a/b"),
        ("/plain-path/a/b", "a/b"),
        ("/included/things/100%25", "100%"),
        ("/mounted/things/%C3%A9", "é"),
    ],
)
def test_other_routes_match_as_fastapi_does(served: httpx.Client, path: str, name: str) -> None:
    response = sent(served, path)
    assert (response.status_code, response.text) == (200, name)


def test_in_other_routes_an_encoded_slash_separates_parts(served: httpx.Client) -> None:
    for path in ("/plain/a%2Fb", "/included/things/a%2Fb", "/mounted/things/a%2Fb"):
        assert sent(served, path).status_code == 404


@pytest.mark.parametrize("name", ["a", "%C3%A9", "a%0Ab"])
def test_a_path_that_a_middleware_has_changed_is_matched(served: httpx.Client, name: str) -> None:
    assert sent(served, f"/old/{name}").text == sent(served, f"/echo/{name}").text


def test_a_changed_path_is_decoded_again() -> None:
    scope = {"path": "/a/b", "raw_path": b"/a%2Fb"}
    assert path_to_match(scope) == path_to_match(scope) == "/a\udc2fb"
    scope["path"] = "/c/d"
    assert path_to_match(scope) == "/c/d"


def test_the_raw_path_is_optional() -> None:
    for scope in ({"path": "/a/b"}, {"path": "/a/b", "raw_path": None}):
        assert path_to_match(scope) == "/a/b"
    assert path_to_match({"path": "/a" * MAX_PATH}) is None


def test_a_long_path_may_match_a_third_party_route(served: httpx.Client) -> None:
    long = "a" * 2 * MAX_PATH
    assert sent(served, f"/plain/{long}").text == long
    assert sent(served, f"/echo/{long}").status_code == 404


def test_a_path_with_the_longest_user_id_is_matched(served: httpx.Client) -> None:
    assert sent(served, f"/api/{ENCODED_LONGEST_ID}/tasks/{2**63 - 1}").status_code == 403


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/included/things/a", {"GET", "PUT", "POST"}),
        ("/included/things/%C3%A9", {"GET", "PUT", "POST"}),
        ("/mounted/things/a", {"GET", "HEAD", "PUT"}),
        ("/ours/echo/a%2Fb", {"GET"}),
        ("/plain/a", {"GET"}),
        ("/api/a%2Fb/tasks", {"GET", "HEAD", "POST", "DELETE"}),
    ],
)
def test_allow_names_every_method_of_all_routes(
    served: httpx.Client, path: str, allowed: set[str]
) -> None:
    response = sent(served, path, "PATCH")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == allowed


class Marker:
    """An object for a weak reference."""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live"),
        ("GET", "/nowhere"),
        ("GET", "/api/alice/tasks"),
        ("POST", "/api/alice/tasks"),
        ("DELETE", "/api/alice/tasks"),
        ("PUT", "/health/live"),
    ],
)
def test_a_request_leaves_no_reference_cycle_behind(postgres: URL, method: str, path: str) -> None:
    """The traceback of an error could keep the frames, and with them the request, alive."""
    app = create_app(make_settings(postgres))
    app.state.verifier = TokenVerifier("a secret of 32 characters or more")
    marker = Marker()
    left = weakref.ref(marker)
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [], "root_path": "", "state": {"marker": marker},
    }  # fmt: skip
    del marker

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    gc.disable()
    try:
        asyncio.run(app(scope, receive, send))
        del scope
        assert left() is None
    finally:
        gc.enable()
