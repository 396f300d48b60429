"""Subclasses of the route classes, as FastAPI's page "Custom Request and APIRoute class" has them.

https://fastapi.tiangolo.com/how-to/custom-request-and-route/
"""

import gzip
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL

from auth import CurrentUser
from routing.route import Route
from routing.task_route import TaskRoute
from schemas import TaskUpdate
from tests.support.fastapi_application import client_of, new_app

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
KINDS: list[type[APIRoute]] = [APIRoute, Route, TaskRoute]
JSON = {"Content-Type": "application/json"}


class GzipRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            body = await super().body()
            if "gzip" in self.headers.getlist("Content-Encoding"):
                body = gzip.decompress(body)
            self._body = body
        return self._body


async def timed(request: Request, handle: Handler) -> Response:
    before = time.monotonic()
    response = await handle(request)
    response.headers["X-Response-Time"] = str(time.monotonic() - before)
    return response


async def unzipping(request: Request, handle: Handler) -> Response:
    return await handle(GzipRequest(request.scope, request.receive))


async def logging_errors(request: Request, handle: Handler) -> Response:
    try:
        return await handle(request)
    except RequestValidationError as error:
        body = await request.body()
        raise HTTPException(422, {"faults": len(error.errors()), "body": body.decode()}) from None


async def reading_before(request: Request, handle: Handler) -> Response:
    length = len(await request.body())
    response = await handle(request)
    response.headers["X-Length"] = str(length)
    return response


async def reading_after(request: Request, handle: Handler) -> Response:
    response = await handle(request)
    response.headers["X-Length"] = str(len(await request.body()))
    return response


WAYS = (timed, unzipping, logging_errors, reading_before, reading_after)


def custom(kind: type[APIRoute], way: Callable[[Request, Handler], Any]) -> type[APIRoute]:
    """Return a subclass of `kind` whose handler is `way`."""

    class Custom(kind):  # type: ignore[valid-type, misc]
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def handler(request: Request) -> Response:
                response: Response = await way(request, handle)
                return response

            return handler

    return Custom


async def model(user_id: CurrentUser, task: TaskUpdate) -> Response:
    return JSONResponse({"title": task.title})


async def part(user_id: CurrentUser, title: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    return {"title": title}


async def nothing(user_id: CurrentUser) -> Response:
    return JSONResponse({"title": "x"})


ENDPOINTS = (model, part, nothing)


@pytest.fixture(scope="module")
def client(postgres: URL) -> Iterator[TestClient]:
    app = new_app(postgres)
    for kind in KINDS:
        for way in WAYS:
            prefix = f"/{{user_id}}/{kind.__name__}/{way.__name__}"
            router = APIRouter(prefix=prefix, route_class=custom(kind, way))
            for endpoint in ENDPOINTS:
                router.post(f"/{endpoint.__name__}")(endpoint)
            app.include_router(router)
    with client_of(app) as client:
        yield client


REQUESTS: dict[str, dict[str, Any]] = {
    "JSON": {"content": b'{"title": "x"}', "headers": JSON},
    "chunked": {"content": [b'{"title"', b': "x"}'], "headers": JSON},
    "a wrong type": {"content": b'{"title": 1}', "headers": JSON},
    "gzip": {
        "content": gzip.compress(b'{"title": "x"}'),
        "headers": {"Content-Encoding": "gzip", **JSON},
    },
    "too large": {"content": b"x" * 70_000, "headers": JSON},
    "too large, chunked": {"content": [b"x" * 1000] * 70, "headers": JSON},
}
REFUSED = {"too large", "too large, chunked"}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_subclass_does_what_it_does_with_fastapis_own_class(
    client: TestClient, kind: type[APIRoute], way: Any, endpoint: Any, request_: str
) -> None:
    if way is not unzipping and request_ == "gzip" and kind is TaskRoute:
        return  # a 415, which is a rule of the service
    expected, found = (
        client.post(
            f"/alice/{each.__name__}/{way.__name__}/{endpoint.__name__}",
            **{**REQUESTS[request_], "content": content(request_)},
        )
        for each in (APIRoute, kind)
    )
    if endpoint is nothing and kind is TaskRoute and request_ in REFUSED:
        assert found.status_code == 413  # TaskRoute limits a body that is not used, too
        return
    assert (found.status_code, found.json()) == (expected.status_code, expected.json())
    names = {name for name in expected.headers if name in ("x-response-time", "x-length")}
    assert names <= set(found.headers)
    assert found.headers.get("x-length") == expected.headers.get("x-length")


def content(name: str) -> Any:
    given = REQUESTS[name]["content"]
    return iter(given) if isinstance(given, list) else given


def test_the_documented_routes_do_what_they_say(client: TestClient) -> None:
    for kind in KINDS:
        path = f"/alice/{kind.__name__}"
        response = client.post(f"{path}/timed/model", json={"title": "x"})
        assert float(response.headers["x-response-time"]) > 0
        assert client.post(f"{path}/unzipping/model", **REQUESTS["gzip"]).json() == {"title": "x"}
        logged = client.post(f"{path}/logging_errors/model", json={"title": 1}).json()
        assert logged["detail"] == {"faults": 1, "body": '{"title":1}'}


@pytest.mark.parametrize("way", WAYS)
def test_a_subclass_of_task_route_checks_the_token_first(client: TestClient, way: Any) -> None:
    for endpoint in ENDPOINTS:
        path = f"/alice/TaskRoute/{way.__name__}/{endpoint.__name__}"
        response = client.post(path, content=b"{", headers={"Authorization": "", **JSON})
        assert response.json()["code"] == "NOT_AUTHENTICATED"
