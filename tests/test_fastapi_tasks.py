"""The six operations with FastAPI's overrides, dependencies and handlers, served by FastAPI."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Request,
    Response,
    UploadFile,
)
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL
from starlette.exceptions import HTTPException as StarletteHTTPException

import errors
from auth import CurrentUser, get_current_user
from database import get_session
from routes import tasks
from routing.application import Application
from routing.task_route import TaskRoute
from tests.support.fastapi_application import client_of, new_app
from tests.support.serving import ORIGIN, bearer

TASKS = "/api/alice/tasks"
OPERATIONS = [
    ("GET", TASKS),
    ("GET", f"{TASKS}/stats"),
    ("POST", TASKS),
    ("DELETE", f"{TASKS}?status=all"),
    ("GET", f"{TASKS}/1"),
    ("PUT", f"{TASKS}/1"),
    ("PATCH", f"{TASKS}/1"),
    ("DELETE", f"{TASKS}/1"),
    ("PATCH", f"{TASKS}/1/complete"),
]
NOT_AUTHENTICATED = {
    "detail": "Log in first: the request has no token (Authorization: Bearer <token>).",
    "code": "NOT_AUTHENTICATED",
}
TOO_LARGE = {"detail": "The body is larger than 64 KiB.", "code": "PAYLOAD_TOO_LARGE"}


async def deny() -> None:
    raise HTTPException(403, "Not for you.")


async def nothing() -> None: ...


def test_a_dependency_of_the_tasks_router_can_refuse_requests(postgres: URL) -> None:
    router = APIRouter(dependencies=[Depends(deny)])
    router.include_router(tasks.router)
    app = new_app(postgres)
    app.router.routes[:] = [route for route in app.routes if not serves_tasks(route)]
    app.include_router(router)
    assert_denied(app)


def serves_tasks(route: Any) -> bool:
    return getattr(route, "original_router", None) is tasks.router


def test_a_dependency_of_include_router_can_refuse_requests(postgres: URL) -> None:
    app = new_app(postgres)
    app.router.routes[:] = [route for route in app.routes if not serves_tasks(route)]
    app.include_router(tasks.router, dependencies=[Depends(deny)])
    assert_denied(app)


@pytest.mark.parametrize("prefix", ["/v1", "/v 1/é"])
@pytest.mark.parametrize("outer", ["", "/mount"])
def test_the_location_of_a_task_has_the_prefix_of_include_router(
    prefix: str, outer: str, postgres: URL
) -> None:
    app = new_app(postgres)
    app.router.routes[:] = [route for route in app.routes if not serves_tasks(route)]
    inner = FastAPI() if outer else app
    inner.include_router(tasks.router, prefix=prefix)
    if outer:
        inner.state = app.state
        app.mount(outer, inner)
    collection = f"{outer}{quote(prefix)}/api/ali%2Fce%40x/tasks"
    with client_of(app) as client:
        client.headers.update(bearer("ali/ce@x"))
        for path in (collection, f"{collection}/", collection.replace("%40", "@")):
            response = client.post(path, json={"title": "Tea"})
            assert response.headers["location"] == f"{collection}/{response.json()['id']}"
            assert client.get(response.headers["location"]).json() == response.json()


def test_a_dependency_of_the_whole_application_can_refuse_requests(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("main.Application", dependent_application)
    assert_denied(new_app(postgres))


def dependent_application(**options: Any) -> FastAPI:
    return Application(dependencies=[Depends(deny)], **options)


def assert_denied(app: FastAPI) -> None:
    with client_of(app) as client:
        for method, path in OPERATIONS:
            response = client.request(method, path, json={"title": "x"})
            body = {"detail": "Not for you.", "code": "FORBIDDEN"}
            assert (response.status_code, response.json()) == (403, body), (method, path)


# The same request on both paths. Any dependency override moves every route to FastAPI's path, and a
# parameter that the fast path does not support moves its route.


def with_override(app: FastAPI) -> None:
    app.dependency_overrides[nothing] = nothing


def with_parameter(annotation: Any) -> Callable[[FastAPI], None]:
    """Return a function that adds a parameter to each operation on tasks."""

    def add(app: FastAPI) -> None:
        router = APIRouter(route_class=TaskRoute)
        for route in tasks.router.routes:
            assert isinstance(route, TaskRoute)
            options = {name: getattr(route, name) for name in ("methods", "status_code", "name")}
            router.add_api_route(route.path, extended(route.endpoint, annotation), **options)
        app.router.routes[:] = [route for route in app.routes if not serves_tasks(route)]
        app.include_router(router)

    return add


def extended(endpoint: Callable[..., Any], annotation: Any) -> Callable[..., Any]:
    @wraps(endpoint)
    async def operation(*, extra: Any, **arguments: Any) -> Any:
        return await endpoint(**arguments)

    signature = inspect.signature(endpoint)
    extra = inspect.Parameter("extra", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    parameters = [*signature.parameters.values(), extra]
    operation.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return operation


def from_a_thread() -> None: ...


SLOW: dict[str, Callable[[FastAPI], None]] = {
    "override": with_override,
    "BackgroundTasks": with_parameter(BackgroundTasks),
    "Response": with_parameter(Response),
    "dependency": with_parameter(Annotated[None, Depends(from_a_thread)]),
    "header": with_parameter(Annotated[str, Header(alias="Host")]),
}


@pytest.fixture(scope="module", params=SLOW)
def both_paths(
    postgres: URL, request: pytest.FixtureRequest
) -> Iterator[tuple[TestClient, TestClient]]:
    fast, slow = new_app(postgres), new_app(postgres)
    SLOW[request.param](slow)
    with client_of(fast) as one, client_of(slow) as other:
        yield one, other


JSON = {"Content-Type": "application/json"}
LARGE = "x" * (64 * 1024 + 1)
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list": ("GET", TASKS, {}),
    "page": ("GET", f"{TASKS}?limit=1&sort=title&order=desc", {}),
    "search": ("GET", f"{TASKS}?q=%25MILK", {}),
    "blank search": ("GET", f"{TASKS}?q=%20", {}),
    "search of half a character": ("GET", f"{TASKS}?q=%ED%A0%80", {}),
    "stats": ("GET", f"{TASKS}/stats", {}),
    "stats with a parameter": ("GET", f"{TASKS}/stats?status=all", {}),
    "stats, wrong method": ("DELETE", f"{TASKS}/stats", {}),
    "stats, slash at the end": ("HEAD", f"{TASKS}/stats/", {}),
    "clear completed": ("DELETE", f"{TASKS}?status=completed", {}),
    "clear without a status": ("DELETE", TASKS, {}),
    "clear, several faults": ("DELETE", f"{TASKS}?status=x&status=y&completed=true", {}),
    "clear, slash at the end": ("DELETE", f"{TASKS}/?status=all", {}),
    "clear, foreign": ("DELETE", "/api/bob/tasks?status=all", {}),
    "repeated parameter": ("GET", f"{TASKS}?limit=0&limit=1", {}),
    "parameters with several faults": (
        "GET", f"{TASKS}?limit=0&page=1&page=2&a%20b=1&status=x&user_id=bob", {},
    ),
    "tolerated parameters": ("GET", f"{TASKS}?_=1&user_id=alice&limit=1", {}),
    "another user as parameter": ("GET", f"{TASKS}?user_id=alice&user_id=bob", {}),
    "slash at the end": ("GET", f"{TASKS}/", {}),
    "slash after an id": ("PUT", f"{TASKS}/x/", {"json": {}}),
    "slash after complete": ("PATCH", f"{TASKS}/999999999/complete/", {}),
    "encoded slash at the end": ("GET", f"{TASKS}/1%2F", {}),
    "two slashes at the end": ("GET", f"{TASKS}//", {}),
    "slash, wrong method": ("DELETE", f"{TASKS}/", {}),
    "encoded user, slash at the end": ("GET", "/api/a%2Fb/tasks/", {"headers": bearer("a/b")}),
    "head of the list": ("HEAD", TASKS, {}),
    "head of an absent task": ("HEAD", f"{TASKS}/999999999", {}),
    "byte order mark": ("POST", TASKS, {"headers": JSON, "content": b"\xef\xbb\xbf{}"}),
    "compressed": (
        "POST", TASKS, {"headers": {"Content-Encoding": "gzip", **JSON}, "content": "{}"},
    ),
    "compressed, in a way without a name": (
        "PATCH", f"{TASKS}/1", {"headers": {"Content-Encoding": "a b", **JSON}, "content": "{}"},
    ),
    "form": ("POST", TASKS, {"data": {"title": "x"}}),
    "bad limit": ("GET", f"{TASKS}?limit=x", {}),
    "bad cursor": ("GET", f"{TASKS}?cursor=x", {}),
    "absent": ("GET", f"{TASKS}/999999999", {}),
    "bad id": ("GET", f"{TASKS}/x", {}),
    "id too large": ("GET", f"{TASKS}/{2**63}", {}),
    "encoded slash": ("GET", "/api/a%2Fb/tasks", {"headers": bearer("a/b")}),
    "foreign": ("GET", "/api/bob/tasks", {}),
    "anonymous": ("GET", TASKS, {"headers": {"Authorization": ""}}),
    "anonymous, malformed": (
        "POST", TASKS, {"headers": {"Authorization": "", **JSON}, "content": "{"},
    ),
    "anonymous, large": ("POST", TASKS, {"headers": {"Authorization": ""}, "content": LARGE}),
    "anonymous, bad id": ("PUT", f"{TASKS}/x", {"headers": {"Authorization": ""}}),
    "bad token": ("POST", TASKS, {"headers": {"Authorization": "Bearer x"}, "content": LARGE}),
    "malformed": ("POST", TASKS, {"headers": JSON, "content": "{"}),
    "malformed, bad id": ("PUT", f"{TASKS}/x", {"headers": JSON, "content": "{"}),
    "NaN": ("POST", TASKS, {"headers": JSON, "content": '{"title": "x", "more": NaN}'}),
    "surrogate": ("POST", TASKS, {"headers": JSON, "content": '{"title": "\\ud800"}'}),
    "surrogates": (
        "POST", TASKS,
        {"headers": JSON, "content": '{"title": "\\ud800", "description": "\\udc00"}'},
    ),
    "surrogate in an unknown name": (
        "POST", TASKS, {"headers": JSON, "content": '{"title": "x", "\\ud800": 1}'},
    ),
    "UTF-16": ("POST", TASKS, {"headers": JSON, "content": '{"title": "x"}'.encode("utf-16")}),
    "chunked": ("POST", TASKS, {"headers": JSON, "content": ["{", "}"]}),
    "chunked, without a use": ("DELETE", f"{TASKS}/999999999", {"content": ["x"]}),
    "no JSON": ("POST", TASKS, {"content": "title=x"}),
    "text": ("POST", TASKS, {"headers": {"Content-Type": "text/plain"}, "content": "{}"}),
    "merge patch": (
        "PUT", f"{TASKS}/999999999",
        {"headers": {"Content-Type": "application/merge-patch+json"}, "content": "{}"},
    ),
    "empty": ("POST", TASKS, {"headers": JSON}),
    "list as body": ("POST", TASKS, {"json": []}),
    "null as body": ("PUT", f"{TASKS}/1", {"json": None}),
    "text as body": ("PUT", f"{TASKS}/1", {"json": "x"}),
    "no title": ("POST", TASKS, {"json": {}}),
    "several faults": ("PUT", f"{TASKS}/x", {"json": {"title": "", "completed": 1}}),
    "large": ("POST", TASKS, {"json": {"title": LARGE}}),
    "large, without a use": ("DELETE", f"{TASKS}/999999999", {"content": LARGE}),
    "bad If-Match": ("DELETE", f"{TASKS}/999999999", {"headers": {"If-Match": "x"}}),
    "If-Match": ("DELETE", f"{TASKS}/999999999", {"headers": {"If-Match": '"x"'}}),
    "If-None-Match": ("GET", f"{TASKS}/999999999", {"headers": {"If-None-Match": '"x", W/"y"'}}),
    "lines of If-Match": (
        "PUT", f"{TASKS}/999999999",
        {"headers": [("If-Match", '"x"'), ("If-Match", "y")], "json": {}},
    ),
    "lines of Idempotency-Key": (
        "POST", TASKS,
        {"headers": [("Idempotency-Key", "a"), ("Idempotency-Key", "b")], "json": {"title": "x"}},
    ),
    "wrong method": ("PATCH", TASKS, {}),
    "no such path": ("GET", f"{TASKS}/1/2", {}),
    "partial update": ("PATCH", f"{TASKS}/999999999", {"json": {"title": "x"}}),
    "toggle": ("PATCH", f"{TASKS}/999999999/complete", {}),
    "complete": ("PATCH", f"{TASKS}/999999999/complete", {"json": {"completed": True}}),
    "complete, without a value": ("PATCH", f"{TASKS}/999999999/complete", {"json": {}}),
    "complete, null": ("PATCH", f"{TASKS}/1/complete", {"headers": JSON, "content": "null"}),
    "complete, bad value": ("PATCH", f"{TASKS}/1/complete", {"json": {"completed": 1}}),
    "complete, malformed": ("PATCH", f"{TASKS}/1/complete", {"headers": JSON, "content": "{"}),
    "complete, no JSON": ("PATCH", f"{TASKS}/1/complete", {"content": "completed=true"}),
    "completed or pending": ("GET", f"{TASKS}?completed=true&status=pending", {}),
    "completed": ("GET", f"{TASKS}?completed=true&sort=created_at", {}),
    "liveness": ("HEAD", "/health/live", {}),
    "docs": ("GET", "/docs", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_both_paths_send_the_same_response(
    both_paths: tuple[TestClient, TestClient], name: str
) -> None:
    method, path, request = REQUESTS[name]
    fast, slow = (client.request(method, path, **with_parts(request)) for client in both_paths)
    assert slow.status_code == fast.status_code
    assert slow.text == fast.text
    assert without_ids(slow) == without_ids(fast)


def with_parts(request: dict[str, Any]) -> dict[str, Any]:
    """Return `request` with an iterator for a body in parts, which is sent chunked."""
    parts = request.get("content")
    return (
        request | {"content": (p.encode() for p in parts)} if isinstance(parts, list) else request
    )


def without_ids(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("overrides", [{}, {nothing: nothing}], ids=["fast", "FastAPI"])
def test_a_trailing_slash_does_not_turn_a_delete_into_one_of_the_collection(
    overrides: dict[Any, Any], postgres: URL
) -> None:
    router = APIRouter(prefix="/api/{user_id}/words", route_class=TaskRoute)

    @router.delete("")
    @router.delete("/{word}")
    async def delete(user_id: CurrentUser) -> Response:
        return Response(status_code=204)

    app = new_app(postgres)
    app.include_router(router)
    app.dependency_overrides |= overrides
    with client_of(app) as client:
        paths = ("/api/alice/words", "/api/alice/words/x", "/api/alice/words/x/")
        assert [client.delete(path).status_code for path in paths] == [204] * 3
        assert client.delete("/api/alice/words/").json()["code"] == "NOT_FOUND"


def test_all_six_operations_work_on_both_paths(both_paths: tuple[TestClient, TestClient]) -> None:
    for client in both_paths:
        created = client.post(TASKS, json={"title": "Buy milk"})
        assert created.status_code == 201
        path, etag = created.headers["location"], created.headers["etag"]
        assert client.get(path).json() == created.json()
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
        updated = client.put(path, json={"title": "Tea"}, headers={"If-Match": etag})
        assert updated.json()["title"] == "Tea"
        assert client.put(path, json={}, headers={"If-Match": etag}).status_code == 412
        assert client.patch(path, json={"title": "Oolong"}).json()["title"] == "Oolong"
        assert client.patch(f"{path}/complete").json()["completed"] is True
        for completed in (True, True, False):
            complete = client.patch(f"{path}/complete", json={"completed": completed})
            assert complete.json()["completed"] is completed
        assert created.json()["id"] in [task["id"] for task in client.get(TASKS).json()["tasks"]]
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
        key = {"Idempotency-Key": f"key-{path}"}
        first = client.post(TASKS, json={"title": "Once"}, headers=key)
        again = client.post(TASKS, json={"title": "Once"}, headers=key)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"


async def whose(user_id: CurrentUser) -> dict[str, str]:
    return {"user_id": user_id}


# Where a route has its parameter, and whether the path has it.
PREFIXES = {
    "the route": ("", "", "/{user_id}/lab", ""),
    "the router": ("/{user_id}", "", "/lab", ""),
    "the router above": ("", "/{user_id}", "/lab", ""),
    "the inclusion": ("", "", "/lab", "/{user_id}"),
}


def include(app: FastAPI, inner: str, outer: str, path: str, inclusion: str) -> APIRouter:
    router, above = APIRouter(prefix=inner, route_class=TaskRoute), APIRouter(prefix=outer)
    router.get(path)(whose)
    above.include_router(router)
    app.include_router(above, prefix=inclusion)
    return router


@pytest.mark.parametrize("place", PREFIXES)
def test_the_path_of_a_task_route_may_get_its_user_id_anywhere(postgres: URL, place: str) -> None:
    app = new_app(postgres)
    include(app, *PREFIXES[place])
    with client_of(app) as client:
        assert client.get("/alice/lab").json() == {"user_id": "alice"}


@pytest.mark.parametrize("place", PREFIXES)
def test_a_task_route_without_a_user_id_is_refused_when_it_is_included(
    postgres: URL, place: str
) -> None:
    prefixes = [part.replace("user_id", "user") for part in PREFIXES[place]]
    message = r"TaskRoute needs {user_id} in its path; use Route .* the route /.*lab"
    with pytest.raises(RuntimeError, match=message):
        include(new_app(postgres), *prefixes)


def test_a_task_route_without_a_user_id_is_refused_at_the_start(postgres: URL) -> None:
    app = new_app(postgres)
    include(app, *PREFIXES["the route"]).get("/lab")(whose)
    with pytest.raises(RuntimeError, match=r"TaskRoute needs {user_id} in its path"):
        TestClient(app).get("/")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_form_or_file_can_be_sent_to_a_task_route(postgres: URL, chunked: bool) -> None:
    router = APIRouter(prefix="/api/{user_id}/files", route_class=TaskRoute)

    @router.post("")
    async def upload(user_id: CurrentUser, file: UploadFile, word: Annotated[str, Form()]) -> str:
        return f"{word} {(await file.read()).decode()}"

    app = new_app(postgres)
    app.include_router(router)
    with client_of(app) as client:
        form: dict[str, Any] = {"data": {"word": "a"}, "files": {"file": b"b"}}
        request = client.build_request("POST", "/api/alice/files", **form)
        content, headers = request.read(), {"Content-Type": request.headers["content-type"]}
        parts: Any = iter([content[:50], content[50:]]) if chunked else content
        response = client.post("/api/alice/files", content=parts, headers=headers)
        assert (response.status_code, response.json()) == (200, "a b")
        parts = iter([content, b"x" * 70_000]) if chunked else content + b"x" * 70_000
        response = client.post("/api/alice/files", content=parts, headers=headers)
        assert (response.status_code, response.json()) == (413, TOO_LARGE)


# Overrides.


def test_an_override_of_the_user_replaces_the_token(postgres: URL) -> None:
    app, calls = new_app(postgres), []

    def alice() -> str:
        calls.append("alice")
        return "alice"

    app.dependency_overrides[get_current_user] = alice
    with client_of(app) as client:
        del client.headers["Authorization"]
        assert client.post(TASKS, json={"title": "x"}).json()["user_id"] == "alice"
        assert calls == ["alice"]
        app.dependency_overrides.clear()
        assert client.get(TASKS).json() == NOT_AUTHENTICATED


def test_an_override_refuses_before_the_body_is_parsed(postgres: URL) -> None:
    app = new_app(postgres)
    app.dependency_overrides[get_current_user] = deny
    with client_of(app) as client:
        for content in ("{", LARGE):
            response = client.post(TASKS, content=content, headers=JSON)
            assert response.json() == {"detail": "Not for you.", "code": "FORBIDDEN"}


def test_with_an_override_of_the_session_no_database_or_lifespan_is_needed(postgres: URL) -> None:
    class Memory:
        async def fetch(self, *arguments: Any, **options: Any) -> list[Any]:
            return []

    async def memory() -> AsyncIterator[Memory]:
        yield Memory()

    app = new_app(postgres)
    app.dependency_overrides |= {get_session: memory, get_current_user: lambda: "alice"}
    client = TestClient(app)  # without `with`, so the lifespan does not run
    assert client.get(TASKS).json() == {"tasks": [], "count": 0, "next_cursor": None}
    assert client.get(f"{TASKS}/1").json()["code"] == "TASK_NOT_FOUND"


def test_the_body_is_limited_under_an_override(postgres: URL) -> None:
    app = new_app(postgres)
    app.dependency_overrides[get_current_user] = lambda: "alice"
    with client_of(app) as client:
        for content in (LARGE, iter([LARGE.encode()])):
            response = client.post(TASKS, content=content, headers=JSON)
            assert (response.status_code, response.json()) == (413, TOO_LARGE)


def test_a_request_takes_and_releases_a_slot_under_an_override(postgres: URL) -> None:
    app = new_app(postgres)
    app.dependency_overrides[nothing] = nothing
    with client_of(app) as client:
        admission = app.state.admission
        granted: list[str] = []
        acquire = admission.acquire_free

        def recorded(user: str) -> bool:
            granted.append(user)
            return bool(acquire(user))

        admission.acquire_free = recorded
        for path in (f"{TASKS}/999999999", f"{TASKS}/x", TASKS):
            client.get(path)
        client.get(TASKS, headers={"Authorization": ""})
        client.post(TASKS, content="{", headers=JSON)
        assert granted == ["alice"] * 3
        assert (admission._free, admission._running) == (admission._concurrent, {})


# Exception handlers.


async def own_form(request: Request, error: Exception) -> Response:
    return JSONResponse({"own": type(error).__name__}, 499)


HANDLED: list[tuple[Any, str, str, dict[str, Any], str]] = [
    (errors.TaskNotFound, "GET", f"{TASKS}/999999999", {}, "TaskNotFound"),
    (errors.APIError, "GET", f"{TASKS}/999999999", {}, "TaskNotFound"),
    (StarletteHTTPException, "GET", f"{TASKS}/999999999", {}, "TaskNotFound"),
    (StarletteHTTPException, "GET", "/nowhere", {}, "HTTPException"),
    (404, "GET", f"{TASKS}/999999999", {}, "TaskNotFound"),
    (401, "GET", TASKS, {"headers": {"Authorization": ""}}, "NotAuthenticated"),
    (403, "GET", "/api/bob/tasks", {}, "Forbidden"),
    (413, "POST", TASKS, {"content": LARGE}, "PayloadTooLarge"),
    (RequestValidationError, "POST", TASKS, {"json": {}}, "RequestValidationError"),
    (
        RequestValidationError,
        "POST",
        TASKS,
        {"content": "{", "headers": JSON},
        "RequestValidationError",
    ),
    (RequestValidationError, "GET", f"{TASKS}?limit=0", {}, "RequestValidationError"),
    (Exception, "GET", "/bug", {}, "ArithmeticError"),
    (500, "GET", "/bug", {}, "ArithmeticError"),
    (ArithmeticError, "GET", "/bug", {}, "ArithmeticError"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method", "path", "request_", "name"), HANDLED)
def test_an_added_exception_handler_is_used(
    postgres: URL, kind: Any, method: str, path: str, request_: dict[str, Any], name: str
) -> None:
    app = new_app(postgres)
    app.exception_handler(kind)(own_form)

    @app.get("/bug")
    async def bug() -> None:
        raise ArithmeticError

    with client_of(app, raise_server_exceptions=False) as client:
        response = client.request(method, path, **request_)
        assert (response.status_code, response.json()) == (499, {"own": name})
        assert response.headers["access-control-allow-origin"] == ORIGIN
        # Other errors keep the format of this API.
        other = client.get("/nowhere") if kind not in (404, StarletteHTTPException) else None
        assert other is None or other.json()["code"] == "NOT_FOUND"


def test_an_exception_handler_may_call_fastapis_own(postgres: URL) -> None:
    app = new_app(postgres)

    @app.exception_handler(errors.TaskNotFound)
    async def handler(request: Request, error: errors.TaskNotFound) -> Response:
        return await http_exception_handler(request, error)

    with client_of(app) as client:
        response = client.get(f"{TASKS}/999999999")
    assert (response.status_code, response.json()) == (404, {"detail": "There is no such task."})
