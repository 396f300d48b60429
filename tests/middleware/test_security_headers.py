"""The headers that stand on every response, from every layer."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.engine import URL

from middleware.security_headers import with_defaults
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
PREFLIGHT = {"Access-Control-Request-Method": "GET"}
ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png", "redoc.standalone.js")


@pytest.fixture(scope="module")
def broken(postgres: URL) -> Iterator[httpx.Client]:
    """Alice's client of a service that can't store milk."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Milk')")
        with service(url) as client:
            yield client


def security_headers(response: httpx.Response) -> dict[str, str]:
    """Each must be there once: of two, a browser may take either."""
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
def test_every_answer_has_them(
    status: int, method: str, path: str, more: dict[str, dict[str, str]], origin: str | None,
    broken: httpx.Client,
) -> None:  # fmt: skip
    request = broken.build_request(method, path, **more)  # type: ignore[arg-type]
    del request.headers["origin"]
    if origin is not None:
        request.headers["origin"] = origin
    response = broken.send(request)
    assert (response.status_code, security_headers(response)) == (status, OF_AN_API)


def test_a_deleted_task_is_answered_with_them(broken: httpx.Client) -> None:
    location = broken.post(TASKS, json={"title": "Buy tea"}).headers["location"]
    response = broken.delete(location)
    assert (response.status_code, security_headers(response)) == (204, OF_AN_API)


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://evil.example", 400)])
def test_a_preflight_has_them_too(origin: str, status: int, broken: httpx.Client) -> None:
    response = broken.options(TASKS, headers={"Origin": origin, **PREFLIGHT})
    assert (response.status_code, security_headers(response)) == (status, OF_AN_API)


def test_a_list_in_parts_has_them(client: httpx.Client, alice: str, postgres: URL) -> None:
    sql(
        postgres,
        "INSERT INTO tasks (user_id, title) SELECT %s, 'Tea' FROM generate_series(1, 1001)",
        alice,
    )
    response = client.get(f"/api/{alice}/tasks")
    assert len(response.json()["tasks"]) == 1001
    assert security_headers(response) == OF_AN_API


def test_without_its_database_it_answers_with_them() -> None:
    with unreachable() as client:
        for path in (TASKS, "/health"):
            response = client.get(path)
            assert (response.status_code, security_headers(response)) == (503, OF_AN_API)
            assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_docs_pages_may_load_their_own_parts_and_nothing_else(
    path: str, anonymous: httpx.Client
) -> None:
    headers = security_headers(anonymous.get(path))
    policy = headers.pop("content-security-policy")
    assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert OF_AN_API.items() >= headers.items()


@pytest.mark.parametrize("name", ASSETS)
def test_the_files_of_the_docs_pages_may_be_kept(name: str, anonymous: httpx.Client) -> None:
    headers = security_headers(anonymous.get(f"/docs/assets/{name}"))
    assert headers == OF_AN_API | {"cache-control": "public, max-age=3600"}


def test_what_a_route_says_itself_stands() -> None:
    own = (b"cache-control", b"private")
    names = [name for name, _ in with_defaults([own, (b"vary", b"Origin")])]
    assert with_defaults([own])[0] == own
    assert len(names) == len(set(names)) == len(OF_AN_API) + 1
