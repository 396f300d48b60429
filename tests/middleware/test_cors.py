"""The frontend's origin may read every answer, an error too; no other origin may read any."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.engine import URL

from tests.support.services import database_of_its_own, service, sql, unreachable
from tests.support.serving import ORIGIN, bearer

OTHER_ORIGINS = [
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "https://app.example.com/",
    "null",
]
ORIGIN_NOT_ALLOWED = {
    "detail": (
        "Cross-origin requests from this origin, or with this method or header, are not allowed."
    ),
    "code": "ORIGIN_NOT_ALLOWED",
}
TASKS = "/api/alice/tasks"


@pytest.fixture(scope="module")
def broken(postgres: URL) -> Iterator[httpx.Client]:
    """Alice's client of a service that can't store milk."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Milk')")
        with service(url) as client:
            yield client


@pytest.fixture(scope="module")
def cut_off() -> Iterator[httpx.Client]:
    with unreachable() as client:
        yield client


def answers(broken: httpx.Client, cut_off: httpx.Client, origin: str) -> dict[str, int]:
    """The status of an answer of each kind, checked to be as `origin` may have it."""
    headers = {"Origin": origin}
    kinds = {
        "list": broken.get(TASKS, headers=headers),
        "create": broken.post(TASKS, json={"title": "Tea"}, headers=headers),
        "invalid": broken.post(TASKS, json={}, headers=headers),
        "anonymous": broken.get(TASKS, headers={**headers, "Authorization": ""}),
        "bad token": broken.get(TASKS, headers={**headers, "Authorization": "Bearer x.y.z"}),
        "forbidden": broken.get(TASKS, headers={**headers, **bearer("bob")}),
        "absent": broken.get(f"{TASKS}/999999999", headers=headers),
        "no route": broken.get("/nowhere", headers=headers),
        "no method": broken.patch(TASKS, headers=headers),
        "too large": broken.post(TASKS, content=b" " * 65_537, headers=headers),
        "bug": broken.post(TASKS, json={"title": "Milk"}, headers=headers),
        "outage": cut_off.get(TASKS, headers=headers),
        "unhealthy": cut_off.get("/health", headers=headers),
        "live": cut_off.get("/health/live", headers=headers),
        "docs": broken.get("/openapi.json", headers=headers),
    }
    task = kinds["create"].headers["location"]
    kinds["delete"] = broken.delete(task, headers=headers)
    for kind, answer in kinds.items():
        assert_readable(answer, origin == ORIGIN, kind)
    return {kind: answer.status_code for kind, answer in kinds.items()}


def assert_readable(answer: httpx.Response, readable: bool, kind: str) -> None:
    origin = answer.headers.get("access-control-allow-origin")
    assert origin == (ORIGIN if readable else None), kind
    if readable:
        assert answer.headers["access-control-allow-credentials"] == "true", kind
        assert "Origin" in answer.headers["vary"], kind
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert exposed >= {
            "Location",
            "ETag",
            "Idempotency-Replayed",
            "Retry-After",
            "WWW-Authenticate",
        }, kind


STATUSES = {
    "list": 200,
    "create": 201,
    "invalid": 400,
    "anonymous": 401,
    "bad token": 401,
    "forbidden": 403,
    "absent": 404,
    "no route": 404,
    "no method": 405,
    "too large": 413,
    "bug": 500,
    "outage": 503,
    "unhealthy": 503,
    "live": 200,
    "docs": 200,
    "delete": 204,
}


@pytest.mark.parametrize("origin", [ORIGIN, *OTHER_ORIGINS])
def test_every_answer_is_readable_for_the_allowed_origin_alone(
    broken: httpx.Client, cut_off: httpx.Client, origin: str
) -> None:
    assert answers(broken, cut_off, origin) == STATUSES


def test_each_of_several_origins_is_allowed_by_its_own_name(postgres: URL) -> None:
    origins = ["http://localhost:3000", "https://[::1]:8443", "https://b.example"]
    with service(postgres, allowed_origins=" , ".join(origins)) as client:
        for origin in origins:
            response = client.get("/health/live", headers={"Origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-origin" not in client.get("/health/live").headers


def preflight(
    client: httpx.Client, origin: str = ORIGIN, method: str = "GET", headers: str | None = None
) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        asked["Access-Control-Request-Headers"] = headers
    return client.options(TASKS, headers=asked)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        None,
        "authorization",
        "authorization,content-type",
        "authorization,if-none-match",
        "authorization,content-type,if-match",
        "authorization,content-type,idempotency-key",
    ],
)
def test_a_preflight_of_the_frontend_needs_no_token(
    anonymous: httpx.Client, method: str, headers: str | None
) -> None:
    response = preflight(anonymous, method=method, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert method in response.headers["access-control-allow-methods"].split(", ")
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type"} <= set(allowed)
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_a_preflight_of_another_origin_is_refused(anonymous: httpx.Client, origin: str) -> None:
    response = preflight(anonymous, origin, headers="authorization")
    assert (response.status_code, response.json()) == (400, ORIGIN_NOT_ALLOWED)
    assert response.headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in response.headers
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("TRACE", None),
        ("PROPFIND", None),
        ("get", None),
        ("GET", "x-evil"),
        ("GET", "authorization, x-evil"),
        ("TRACE", "x-evil"),
    ],
)
def test_a_preflight_for_another_method_or_header_is_refused(
    anonymous: httpx.Client, method: str, headers: str | None
) -> None:
    response = preflight(anonymous, method=method, headers=headers)
    assert (response.status_code, response.json()) == (400, ORIGIN_NOT_ALLOWED)
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_a_request_without_an_origin_gets_no_cors_headers(client: httpx.Client) -> None:
    response = client.get("/health/live")
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", [TASKS, "/nowhere"])
def test_a_cache_keeps_apart_what_is_answered_to_browsers_and_others(
    broken: httpx.Client, path: str
) -> None:
    request = broken.build_request("GET", path)
    del request.headers["Origin"]
    assert "Origin" in broken.send(request).headers["Vary"]
    assert "Origin" in broken.get(path).headers["Vary"]
