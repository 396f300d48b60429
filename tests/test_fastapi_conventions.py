"""Everything in FastAPI's documentation works: dependencies that refuse, and each construct."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Form, HTTPException, Path, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL

from routing.route import Route
from tests.support.fastapi_application import PLACES, add_route, client_of, new_app, router_at
from tests.support.fastapi_constructs import CASES, INVALID, Case, cleaned_up, letter
from tests.support.responses import invalid_input
from tests.support.serving import ORIGIN

DENIED = {"detail": "Not for you.", "code": "FORBIDDEN"}


async def deny() -> None:
    raise HTTPException(403, "Not for you.")


def deny_in_a_thread() -> None:
    raise HTTPException(403, "Not for you.")


async def deny_and_clean_up() -> AsyncIterator[None]:
    raise HTTPException(403, "Not for you.")
    yield


DENIALS = (deny, deny_in_a_thread, deny_and_clean_up)


def refusing_in_the_signature(refuse: Callable[..., Any]) -> Callable[..., Any]:
    async def endpoint(
        number: Annotated[int, Path()], _: Annotated[None, Depends(refuse)]
    ) -> Response:
        return PlainTextResponse("let in")

    return endpoint


@pytest.fixture(scope="module")
def refusing(postgres: URL) -> Iterator[TestClient]:
    """A service with a refusing dependency on each route, on its router, or at a higher level."""
    app = new_app(postgres)
    for place in PLACES:
        for refuse in DENIALS:
            end = f"{place}/{refuse.__name__}"
            options: dict[str, Any] = {"dependencies": [Depends(refuse)]}
            add_route(app, place, f"/route/{end}", letter, **options)
            add_route(app, place, f"/signature/{end}/{{number}}", refusing_in_the_signature(refuse))
            if place == "app":
                continue
            router = router_at(place, **options)
            router.get(f"/router/{end}")(letter)
            app.include_router(router)
            inner, outer, included = router_at(place), APIRouter(), router_at(place)
            included.get(f"/inclusion/{end}")(letter)
            app.include_router(included, **options)
            inner.get(f"/inclusion-above/{end}")(letter)
            outer.include_router(inner)
            app.include_router(outer, **options)
    with client_of(app) as client:
        yield client


# The first three places once had a bug: the request reached the endpoint in spite of the refusal.
REFUSED = [
    f"/{where}/{place}/{refuse.__name__}{part}"
    for where, part in (
        ("route", ""),
        ("router", ""),
        ("inclusion", ""),
        ("inclusion-above", ""),
        ("signature", "/1"),
        ("signature", "/not-a-number"),
    )
    for place in PLACES
    for refuse in DENIALS
    if place != "app" or where in ("route", "signature")
]


@pytest.mark.parametrize("path", REFUSED)
def test_a_refusing_dependency_is_never_skipped(refusing: TestClient, path: str) -> None:
    response = refusing.get(path)
    assert (response.status_code, response.json()) == (403, DENIED)


@pytest.fixture(scope="module")
def extended(postgres: URL) -> Iterator[TestClient]:
    """A service with a route for every construct in each of PLACES."""
    app = new_app(postgres)
    for place in PLACES:
        for number, case in enumerate((*CASES.values(), *INVALID.values())):
            add_route(
                app, place, prefix(place, number) + case.path, case.endpoint, case.method,
                **case.options,
            )  # fmt: skip
    with client_of(app) as client:
        yield client


def prefix(place: str, number: int) -> str:
    return f"/{place}/{number}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CASES)
def test_a_construct_works_as_documented(extended: TestClient, name: str, place: str) -> None:
    case: Case = CASES[name]
    cleaned_up.clear()
    url = prefix(place, list(CASES).index(name)) + (case.url or case.path)
    response = extended.request(case.method, url, **case.request)
    assert response.status_code == case.status, response.text
    if case.body is not None:
        assert (response.text if isinstance(case.body, str) else response.json()) == case.body
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-content-type-options"] == "nosniff"
    assert case.headers.items() <= dict(response.headers).items()
    assert cleaned_up == list(case.cleaned_up)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", INVALID)
def test_invalid_input_is_a_400_that_names_the_field(
    extended: TestClient, name: str, place: str
) -> None:
    case = INVALID[name]
    url = prefix(place, len(CASES) + list(INVALID).index(name)) + (case.url or case.path)
    response = extended.request(case.method, url, **case.request)
    assert (response.status_code, response.json()) == (400, invalid_input(case.body))


def test_no_route_documents_a_422(extended: TestClient) -> None:
    document = extended.get("/openapi.json").json()
    assert "422" not in str(document)
    assert "HTTPValidationError" not in str(document)
    path = f"/app/{list(CASES).index('path')}/{{number}}"
    schema = document["paths"][path]["get"]["responses"]["400"]["content"]["application/json"]
    assert schema == {"schema": {"$ref": "#/components/schemas/ValidationErrorResponse"}}


EXCEPTIONS = [
    (HTTPException(404, "No such item."), {"detail": "No such item.", "code": "NOT_FOUND"}),
    (HTTPException(404), {"detail": "Not Found", "code": "NOT_FOUND"}),
    (HTTPException(405, "Not now."), {"detail": "Not now.", "code": "METHOD_NOT_ALLOWED"}),
    (HTTPException(405), {"detail": "Method Not Allowed", "code": "METHOD_NOT_ALLOWED"}),
    (HTTPException(400, ["a", 1, None]), {"detail": ["a", 1, None], "code": "BAD_REQUEST"}),
    (HTTPException(418, {"a": 1}), {"detail": {"a": 1}, "code": "IM_A_TEAPOT"}),
    (HTTPException(422, "No."), {"detail": "No.", "code": "UNPROCESSABLE_CONTENT"}),
    (HTTPException(499, "No."), {"detail": "No.", "code": "HTTP_499"}),
    (HTTPException(503), {"detail": "Service Unavailable", "code": "SERVICE_UNAVAILABLE"}),
    (
        HTTPException(401, "Who?", {"WWW-Authenticate": "Basic"}),
        {"detail": "Who?", "code": "UNAUTHORIZED"},
    ),
]


@pytest.fixture(scope="module")
def raising(postgres: URL) -> Iterator[TestClient]:
    """A service with a route for each of EXCEPTIONS, and a route with a bug."""
    app = new_app(postgres)
    for place in PLACES:
        for number, (error, _) in enumerate(EXCEPTIONS):
            add_route(app, place, f"/{place}/{number}", endpoint_that_raises(error))
        add_route(app, place, f"/{place}/bug", endpoint_that_raises(ArithmeticError("a bug")))
    with client_of(app) as client:
        yield client


def endpoint_that_raises(error: Exception) -> Callable[..., Any]:
    async def endpoint() -> Response:
        raise error

    return endpoint


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", range(len(EXCEPTIONS)))
def test_an_http_exception_keeps_its_status_detail_and_headers(
    raising: TestClient, place: str, number: int
) -> None:
    error, body = EXCEPTIONS[number]
    response = raising.get(f"/{place}/{number}")
    assert (response.status_code, response.json()) == (error.status_code, body)
    for name, value in (error.headers or {}).items():
        assert response.headers[name] == value


@pytest.mark.parametrize("place", PLACES)
def test_a_bug_is_a_500_with_a_code_and_is_raised_in_a_test_client(
    raising: TestClient, place: str
) -> None:
    with pytest.raises(ArithmeticError, match="a bug"):
        raising.get(f"/{place}/bug")
    response = TestClient(raising.app, raise_server_exceptions=False).get(f"/{place}/bug")
    body = {"detail": "Something went wrong on our side.", "code": "INTERNAL_ERROR"}
    assert (response.status_code, response.json()) == (500, body)


def test_a_route_added_to_a_router_after_its_inclusion_is_served(postgres: URL) -> None:
    app = new_app(postgres)
    router = router_at("route_class")
    app.include_router(router)
    with client_of(app) as client:
        assert client.get("/letter").status_code == 404
        router.get("/letter")(letter)
        assert client.get("/letter").text == "let in"
        app.router.routes.pop()
        assert client.get("/letter").status_code == 404


@pytest.mark.parametrize("places", [("app", "route_class"), ("route_class", "app")])
def test_the_first_matching_route_serves_the_request(
    postgres: URL, places: tuple[str, str]
) -> None:
    app = new_app(postgres)
    for place in places:
        add_route(app, place, "/x", endpoint_of(place))
    with client_of(app) as client:
        assert client.get("/x").text == places[0]


def endpoint_of(text: str) -> Callable[..., Any]:
    async def endpoint() -> Response:
        return PlainTextResponse(text)

    return endpoint


def test_the_fast_path_serves_all_of_the_services_own_routes(postgres: URL) -> None:
    contexts = iter_route_contexts(new_app(postgres).routes)
    routes = [(context, context.original_route) for context in contexts]
    slow = [
        context.path
        for context, route in routes
        if not (isinstance(route, Route) and route.is_fast(context))
    ]
    assert set(slow) == {"/openapi.json"}


def test_a_form_route_without_python_multipart_fails_at_definition(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endpoint(name: Annotated[str, Form()]) -> None: ...

    for package in ("python_multipart", "multipart"):  # the MCP server's SDK installs it
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeError, match=r'requires "python-multipart" to be installed'):
        new_app(postgres).post("/form")(endpoint)
