"""Security headers, which every response has, whichever layer sends it."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.engine import URL

from middleware.security_headers import JSON, missing_defaults, with_defaults
from tests.support.services import database_of_its_own, service, sql, unreachable
from tests.support.serving import ORIGIN

TASKS = "/api/alice/tasks"
OF_AN_API = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
OF_A_PAGE = OF_AN_API | {"content-security-policy": "frame-ancestors 'none'"}
PREFLIGHT = {"Access-Control-Request-Method": "GET"}
ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png", "redoc.standalone.js")


@pytest.fixture(scope="module")
def broken(postgres: URL) -> Iterator[httpx.Client]:
    """Alice's client of a service that fails with a 500 for a task called Milk."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Milk')")
        with service(url) as client:
            yield client


def security_headers(response: httpx.Response) -> dict[str, str]:
    """Return the security headers, with repeated ones joined so that they differ from OF_AN_API."""
    return {name: ";;".join(response.headers.get_list(name)) for name in OF_AN_API}


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example", None])
@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (201, "POST", TASKS, {"json": {"title": "Buy tea"}}),
        (200, "GET", TASKS, {}),
        (400, "GET", f"{TASKS}?limit=0", {}),
        (401, "GET", TASKS, {"headers": {"Authorization": ""}}),
        (403, "GET", "/api/bob/tasks", {}),
        (404, "GET", f"{TASKS}/999", {}),
        (404, "GET", "/nowhere", {}),
        (405, "PUT", TASKS, {}),
        (413, "POST", TASKS, {"content": b"x" * 70_000}),
        (500, "POST", TASKS, {"json": {"title": "Milk"}}),
        (200, "GET", "/health", {}),
        (200, "HEAD", "/health/live", {}),
        (200, "GET", "/openapi.json", {}),
    ],
)
def test_every_response_has_security_headers(
    status: int, method: str, path: str, more: dict[str, dict[str, str]], origin: str | None,
    broken: httpx.Client,
) -> None:  # fmt: skip
    request = broken.build_request(method, path, **more)  # type: ignore[arg-type]
    del request.headers["origin"]
    if origin is not None:
        request.headers["origin"] = origin
    response = broken.send(request)
    assert (response.status_code, security_headers(response)) == (status, OF_AN_API)


def test_a_204_has_security_headers(broken: httpx.Client) -> None:
    location = broken.post(TASKS, json={"title": "Buy tea"}).headers["location"]
    response = broken.delete(location)
    assert (response.status_code, security_headers(response)) == (204, OF_AN_API)


def test_a_304_of_a_task_has_security_headers(broken: httpx.Client) -> None:
    response = broken.post(TASKS, json={"title": "Buy tea"})
    known = {"If-None-Match": response.headers["etag"]}
    response = broken.get(response.headers["location"], headers=known)
    assert (response.status_code, security_headers(response)) == (304, OF_AN_API)


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://evil.example", 400)])
def test_the_response_to_a_preflight_has_security_headers(
    origin: str, status: int, broken: httpx.Client
) -> None:
    response = broken.options(TASKS, headers={"Origin": origin, **PREFLIGHT})
    assert (response.status_code, security_headers(response)) == (status, OF_AN_API)


def test_a_list_that_is_sent_in_parts_has_security_headers(
    client: httpx.Client, alice: str, postgres: URL
) -> None:
    sql(
        postgres,
        "INSERT INTO tasks (user_id, title) SELECT %s, 'Tea' FROM generate_series(1, 1001)",
        alice,
    )
    response = client.get(f"/api/{alice}/tasks")
    assert len(response.json()["tasks"]) == 1001
    assert security_headers(response) == OF_AN_API


def test_a_503_without_a_database_has_security_headers() -> None:
    with unreachable() as client:
        for path in (TASKS, "/health"):
            response = client.get(path)
            assert (response.status_code, security_headers(response)) == (503, OF_AN_API)
            assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_docs_pages_may_load_only_files_of_the_service(
    path: str, anonymous: httpx.Client
) -> None:
    headers = security_headers(anonymous.get(path))
    policy = headers.pop("content-security-policy")
    assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert OF_AN_API.items() >= headers.items()


@pytest.mark.parametrize("name", ASSETS)
def test_the_files_of_the_docs_pages_may_be_cached(name: str, anonymous: httpx.Client) -> None:
    headers = security_headers(anonymous.get(f"/docs/assets/{name}"))
    assert headers == OF_A_PAGE | {"cache-control": "public, max-age=3600"}


def test_a_header_that_a_route_sets_is_not_replaced() -> None:
    own = (b"cache-control", b"private")
    names = [name for name, _ in with_defaults([own, (b"vary", b"Origin")])]
    assert with_defaults([own])[0] == own
    assert len(names) == len(set(names)) == len(OF_AN_API) + 1


@pytest.mark.parametrize("etag", [True, False])
@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", OF_AN_API),
        ("application/json", OF_AN_API),
        ("Application/JSON; charset=utf-8", OF_AN_API),
        ("application/problem+json", OF_AN_API),
        ("text/html; charset=utf-8", OF_A_PAGE),
        ("text/javascript", OF_A_PAGE),
        ("image/svg+xml", OF_A_PAGE),
        ("application/jsonp", OF_A_PAGE),
    ],
)
def test_only_json_and_empty_responses_have_the_policy_of_an_api(
    content_type: str, expected: dict[str, str], etag: bool
) -> None:
    given = {b"content-type": content_type.encode()} if content_type else {}
    if etag:
        given[b"etag"] = b'"1"'
    added = {name.decode(): value.decode() for name, value in missing_defaults(given, 200)}
    if etag and expected is OF_A_PAGE:
        assert "cache-control" not in added
        added["cache-control"] = "no-store"
    assert added == expected


def test_a_304_gets_no_header_that_would_replace_one_of_the_stored_page() -> None:
    assert missing_defaults({b"etag": b'"1"'}, 304) == ()


@pytest.mark.parametrize("status", [200, 404])
def test_a_default_is_never_added_a_second_time(status: int) -> None:
    for kind in (JSON, b"text/html"):
        for name in OF_AN_API:
            added = missing_defaults({b"content-type": kind, name.encode(): b"own"}, status)
            assert {each.decode() for each, _ in added} == OF_AN_API.keys() - {name}
