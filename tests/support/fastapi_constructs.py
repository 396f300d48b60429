"""Endpoints from FastAPI's documentation, and the response that each must send."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, NamedTuple

from fastapi import (
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.security import SecurityScopes
from pydantic import BaseModel, Field, PlainValidator

from database import SessionDep


async def letter() -> Response:
    return PlainTextResponse("let in")


class Item(BaseModel):
    name: str
    price: float = 1.5


class Filter(BaseModel):
    limit: int = Field(10, ge=1)
    tags: list[str] = []


class Open(BaseModel, extra="allow"):
    limit: int = 10


cleaned_up: list[str] = []


async def resource() -> AsyncIterator[str]:
    yield "resource"
    cleaned_up.append("async")


def resource_in_a_thread() -> Iterator[str]:
    yield "resource"
    cleaned_up.append("sync")


async def leaf(q: str = "none") -> str:
    return q


async def branch(value: Annotated[str, Depends(leaf)], x: Annotated[int, Header()]) -> str:
    return f"{value} {x}"


class Callable_:
    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, q: str = "") -> str:
        return self.word + q


async def scopes_of(security: SecurityScopes) -> list[str]:
    return security.scopes


def sync_dict() -> dict[str, str]:
    return {"is": "sync"}


async def plain_dict() -> dict[str, int]:
    return {"answer": 42}


async def untyped():  # type: ignore[no-untyped-def]
    return [1, 2]


async def model() -> Item:
    return Item(name="x")


async def filtered() -> Any:
    return {"name": "x", "price": 2, "secret": "hidden"}


async def path_parameter(number: int) -> dict[str, int]:
    return {"number": number}


async def path_parameter_of_response(number: int) -> Response:
    return JSONResponse({"number": number})


async def path_and_query(name: str, q: str = "none", n: int = 0) -> dict[str, Any]:
    return {"name": name, "q": q, "n": n}


async def query_of_response(q: str, tag: Annotated[list[str] | None, Query()] = None) -> Response:
    return JSONResponse({"q": q, "tag": tag})


async def query_model(query: Annotated[Filter, Query()]) -> Response:
    return JSONResponse(query.model_dump())


async def header(x_word: Annotated[str, Header()] = "none") -> Response:
    return PlainTextResponse(x_word)


async def header_with_alias(word: Annotated[str | None, Header(alias="X-Word")] = None) -> Response:
    return PlainTextResponse(word)


async def header_of_set(
    words: Annotated[frozenset[str] | None, Header(alias="X-Word"), PlainValidator(sorted)] = None,
) -> Response:
    return JSONResponse(words)


async def extra_query(query: Annotated[Open, Query()]) -> Response:
    return JSONResponse(query.model_dump())


async def cookie(session: Annotated[str | None, Cookie()] = None) -> Response:
    return PlainTextResponse(session or "none")


async def body(item: Item) -> Item:
    return item


async def body_of_response(item: Item) -> Response:
    return JSONResponse(item.model_dump())


async def two_bodies(item: Item, count: Annotated[int, Body()]) -> Response:
    return JSONResponse({"name": item.name, "count": count})


async def list_body(items: list[Item]) -> Response:
    return JSONResponse(len(items))


async def background(tasks: BackgroundTasks) -> Response:
    tasks.add_task(cleaned_up.append, "background")
    return PlainTextResponse("done")


async def response_parameter(response: Response) -> dict[str, str]:
    response.headers["X-Extra"] = "yes"
    response.status_code = 202
    response.set_cookie("seen", "1")
    return {}


async def yielding(value: Annotated[str, Depends(resource)]) -> Response:
    return PlainTextResponse(value)


def yielding_in_a_thread(value: Annotated[str, Depends(resource_in_a_thread)]) -> dict[str, str]:
    return {"value": value}


async def nested(value: Annotated[str, Depends(branch)]) -> Response:
    return PlainTextResponse(value)


async def instance(value: Annotated[str, Depends(Callable_("word"))]) -> Response:
    return PlainTextResponse(value)


async def old_style(value: str = Depends(leaf)) -> Response:
    return PlainTextResponse(value)


async def scopes(value: Annotated[list[str], Security(scopes_of, scopes=["read"])]) -> Response:
    return JSONResponse(value)


async def streaming() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    return StreamingResponse(parts(), media_type="text/plain")


async def file() -> FileResponse:
    return FileResponse(FilePath(__file__))


async def redirect() -> RedirectResponse:
    return RedirectResponse("/health")


async def redirect_to_route(request: Request) -> Response:
    return RedirectResponse(request.url_for("live"))


async def nothing() -> None:
    return None


async def lines() -> AsyncIterator[dict[str, int]]:
    yield {"line": 1}
    yield {"line": 2}


async def one(session: SessionDep) -> dict[str, Any]:
    return {"one": (await session.fetch("SELECT 1", {}, retry=True))[0][0]}


def conflict() -> None:
    raise HTTPException(409, {"id": [1]}, {"X-Why": "taken"})


class Case(NamedTuple):
    """A route, a request, and the response. In INVALID, `body` is the field and the message."""

    endpoint: Callable[..., Any]
    path: str = "/x"
    url: str = ""  # if it differs from the path
    method: str = "GET"
    request: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = {}
    cleaned_up: Sequence[str] = ()


CASES = {
    "sync endpoint": Case(sync_dict, body={"is": "sync"}),
    "dict": Case(plain_dict, body={"answer": 42}),
    "no annotation": Case(untyped, body=[1, 2]),
    "model": Case(model, body={"name": "x", "price": 1.5}),
    "response_model": Case(
        filtered, options={"response_model": Item}, body={"name": "x", "price": 2.0}
    ),
    "response_model_exclude": Case(
        filtered,
        options={"response_model": Item, "response_model_exclude": {"price"}},
        body={"name": "x"},
    ),
    "status_code": Case(plain_dict, options={"status_code": 201}, status=201, body={"answer": 42}),
    "204": Case(nothing, options={"status_code": 204}, status=204, body=""),
    "path": Case(path_parameter, "/{number}", "/7", body={"number": 7}),
    "path, response": Case(path_parameter_of_response, "/x/{number}", "/x/7", body={"number": 7}),
    "path convertor": Case(
        path_parameter_of_response, "/x/{number:int}", "/x/7", body={"number": 7}
    ),
    "path and query": Case(
        path_and_query,
        "/x/{name}",
        "/x/a?q=b&n=2",
        body={"name": "a", "q": "b", "n": 2},
    ),
    "query": Case(query_of_response, url="/x?q=a&tag=b&tag=c", body={"q": "a", "tag": ["b", "c"]}),
    "query model": Case(
        query_model, url="/x?tags=a&tags=b", body={"limit": 10, "tags": ["a", "b"]}
    ),
    "header": Case(header, request={"headers": {"X-Word": "hi"}}, body="hi"),
    "header with an alias, two lines": Case(
        header_with_alias, request={"headers": [("X-Word", "a"), ("X-Word", "b")]}, body="a"
    ),
    "header with several values": Case(
        header_of_set, request={"headers": [("X-Word", "b"), ("X-Word", "a")]}, body=["a", "b"]
    ),
    "query model with extra names": Case(
        extra_query,
        url="/x?x=1&x=2&y=3&limit=1&limit=2",
        body={"limit": 2, "x": ["1", "2"], "y": "3"},
    ),
    "long query model with extra names": Case(
        extra_query,
        url=f"/x?x=1&x=2&y={'3' * 100}",
        body={"limit": 10, "x": ["1", "2"], "y": "3" * 100},
    ),
    "cookie": Case(cookie, request={"headers": {"Cookie": "session=abc"}}, body="abc"),
    "body": Case(
        body, method="POST", request={"json": {"name": "n"}}, body={"name": "n", "price": 1.5}
    ),
    "body, response": Case(
        body_of_response,
        method="PUT",
        request={"json": {"name": "n"}},
        body={"name": "n", "price": 1.5},
    ),
    "two bodies": Case(
        two_bodies,
        method="POST",
        request={"json": {"item": {"name": "n"}, "count": 2}},
        body={"name": "n", "count": 2},
    ),
    "list body": Case(list_body, method="POST", request={"json": [{"name": "n"}]}, body=1),
    "background": Case(background, body="done", cleaned_up=["background"]),
    "response parameter": Case(response_parameter, status=202, body={}, headers={"x-extra": "yes"}),
    "yield": Case(yielding, body="resource", cleaned_up=["async"]),
    "yield in a thread": Case(
        yielding_in_a_thread, body={"value": "resource"}, cleaned_up=["sync"]
    ),
    "sub-dependencies": Case(nested, url="/x?q=a", request={"headers": {"X": "3"}}, body="a 3"),
    "callable instance": Case(instance, url="/x?q=s", body="words"),
    "default Depends": Case(old_style, url="/x?q=a", body="a"),
    "Security": Case(scopes, body=["read"]),
    "StreamingResponse": Case(streaming, body="ab"),
    "FileResponse": Case(file, body=FilePath(__file__).read_text()),
    "redirect": Case(redirect, status=307, body="", headers={"location": "/health"}),
    "url_for": Case(
        redirect_to_route, status=307, headers={"location": "http://testserver/health/live"}
    ),
    "JSON lines": Case(lines, body='{"line":1}\n{"line":2}\n'),
    "session": Case(one, body={"one": 1}),
    "HEAD": Case(letter, method="HEAD", body=""),
    "response_class": Case(
        lambda: "<b>", options={"response_class": PlainTextResponse}, body="<b>"
    ),
    "HTTPException": Case(
        conflict,
        status=409,
        body={"detail": {"id": [1]}, "code": "CONFLICT"},
        headers={"x-why": "taken"},
    ),
    "max_body_size, smaller": Case(
        body_of_response,
        method="POST",
        request={"json": {"name": "n" * 100}},
        options={"max_body_size": 50},
        status=413,
        body={"detail": "The body is larger than 50 bytes.", "code": "PAYLOAD_TOO_LARGE"},
    ),
    "max_body_size, larger": Case(
        list_body,
        method="POST",
        request={"json": [{"name": "n" * 70_000}]},
        options={"max_body_size": 100_000},
        body=1,
    ),
    "body too large": Case(
        body_of_response,
        method="POST",
        request={"json": {"name": "n" * 70_000}},
        status=413,
        body={"detail": "The body is larger than 64 KiB.", "code": "PAYLOAD_TOO_LARGE"},
    ),
}

JSON = {"Content-Type": "application/json"}
WORD = ("path.number", "number must be a whole number.")
NO_NAME = ("body.name", "name is required.")
INVALID = {
    "path": Case(path_parameter, "/x/{number}", "/x/word", body=WORD),
    "path, response": Case(path_parameter_of_response, "/x/{number}", "/x/word", body=WORD),
    "query": Case(query_model, url="/x?limit=0", body=("query.limit", "limit must be at least 1.")),
    "query, missing": Case(query_of_response, body=("query.q", "q is required.")),
    "header": Case(nested, body=("header.x", "x is required.")),
    "body": Case(body, method="POST", request={"json": {}}, body=NO_NAME),
    "body, response": Case(body_of_response, method="POST", request={"json": {}}, body=NO_NAME),
    "malformed": Case(
        body,
        method="POST",
        request={"content": '{"name":\n nil}', "headers": JSON},
        body=("body", "The body is not valid JSON (line 2, column 2)."),
    ),
    "not UTF-8": Case(
        body,
        method="POST",
        request={"content": b"\xff", "headers": JSON},
        body=("body", "The body must be JSON in UTF-8."),
    ),
    "too deep": Case(
        body,
        method="POST",
        request={"content": "[" * 50_000, "headers": JSON},
        body=("body", "The body is nested too deeply."),
    ),
    "not an object": Case(
        body, method="POST", request={"json": 1}, body=("body", "The body must be a JSON object.")
    ),
}
