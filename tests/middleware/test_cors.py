"""The frontend's origin may read every answer, an error too; no other origin may read any."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.engine import URL

from middleware import cors, refused_origins
from middleware.refused_origins import MAX_LINES
from tests.support.services import (
    database_of_its_own,
    eventually,
    recorded_log,
    service,
    sql,
    unreachable,
)
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


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        None,
        "authorization",
        "authorization,content-type",
        "authorization,if-none-match",
        "authorization,content-type,if-match",
        "authorization,content-type,idempotency-key",
        "authorization,baggage,sentry-trace,traceparent,tracestate,x-request-id",
        "authorization,traceparent,tracestate,x-datadog-origin,x-datadog-parent-id"
        ",x-datadog-sampling-priority,x-datadog-trace-id",
        "authorization,newrelic,traceparent,tracestate",
        "authorization,request-context,request-id,traceparent",
        "authorization,x-posthog-distinct-id,x-posthog-session-id,x-posthog-window-id",
        "authorization,cache-control,expires,pragma",
        "authorization,x-requested-with,x-xsrf-token",
        "authorization,user-agent",
        "authorization,ngrok-skip-browser-warning",
        "accept, accept-language, Authorization, Content-Language",
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


def test_the_methods_of_all_routes_are_allowed(app: FastAPI) -> None:
    used = {method for route in iter_route_contexts(app.routes) for method in route.methods or ()}
    assert used - set(cors.METHODS) == set()


PRIVATE = {"Access-Control-Request-Private-Network": "true"}


def test_a_page_of_a_public_network_may_call_a_private_one_if_its_origin_is_allowed(
    anonymous: httpx.Client,
) -> None:
    asked = {"Access-Control-Request-Method": "GET", **PRIVATE}
    response = anonymous.options(TASKS, headers={**asked, "Origin": ORIGIN})
    assert response.status_code == 200
    assert response.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-private-network" not in preflight(anonymous).headers
    for refused in ({"Origin": OTHER_ORIGINS[0]}, {"Access-Control-Request-Method": "TRACE"}):
        response = anonymous.options(TASKS, headers={**asked, "Origin": ORIGIN, **refused})
        assert (response.status_code, response.json()) == (400, ORIGIN_NOT_ALLOWED)
        assert "access-control-allow-private-network" not in response.headers


def test_a_preview_may_read_and_a_page_that_looks_like_one_may_not(postgres: URL) -> None:
    with service(postgres, allowed_origins=f"{ORIGIN},https://app-*-team.example.app") as client:
        for origin, allowed in (
            (ORIGIN, ORIGIN),
            ("https://app-pr-7-team.example.app", "https://app-pr-7-team.example.app"),
            ("https://app-pr.7-team.example.app", None),
            ("https://app-pr-7-team.example.app.evil.example", None),
        ):
            response = client.get("/health/live", headers={"Origin": origin})
            assert response.headers.get("access-control-allow-origin") == allowed
            assert preflight(client, origin).status_code == (200 if allowed else 400)


def refusals(log: str) -> list[str]:
    """The messages about refused origins, methods and headers, without the id of the request."""
    lines = [line for line in log.splitlines() if "origin" in line or "ORIGIN" in line]
    assert all(" [WARNING] [-] " in line for line in lines)
    return [re.sub(r" request_id=\w+\]$", "", line.split("] [", 4)[4]) for line in lines]


EVIL = "https://evil.example"
REFUSED = (
    f"The origin {EVIL} is not in ALLOWED_ORIGINS, so browsers don't let its pages read responses"
    " client=127.0.0.1"
)


@pytest.fixture
def fresh(postgres: URL) -> Iterator[httpx.Client]:
    """A client of a service that has logged no refused origin yet."""
    with service(postgres, access_log=False) as client:
        yield client


def test_a_refused_origin_is_logged_once(fresh: httpx.Client) -> None:
    with recorded_log() as log:
        for _ in range(3):
            assert preflight(fresh, EVIL).status_code == 400
            assert fresh.get(TASKS, headers={"Origin": EVIL}).status_code == 200
            fresh.post(TASKS, headers={"Origin": "null"}, json={})
        fresh.get(TASKS)  # of an allowed origin
        eventually(lambda: "null" in log.getvalue())
    assert refusals(log.getvalue()) == [REFUSED, REFUSED.replace(EVIL, "null")]
    assert f"[OPTIONS {TASKS}]" in log.getvalue()
    assert f"[POST {TASKS}]" in log.getvalue()


def test_a_refused_method_or_header_is_logged_with_its_name(fresh: httpx.Client) -> None:
    with recorded_log() as log:
        for _ in range(2):
            preflight(fresh, method="PROPFIND")
            preflight(fresh, method="PUT", headers="authorization, x-new")
        eventually(lambda: "x-new" in log.getvalue())
    text = "400 ORIGIN_NOT_ALLOWED: the method {} or one of the headers {} is not allowed to "
    assert refusals(log.getvalue()) == [
        f"{text.format('PROPFIND', '-')}{ORIGIN} client=127.0.0.1",
        f"{text.format('PUT', 'authorization,x-new')}{ORIGIN} client=127.0.0.1",
    ]


@pytest.mark.parametrize(
    "name", ["Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method"]
)
def test_what_a_page_sends_can_not_forge_a_line_or_fill_the_log(
    fresh: httpx.Client, name: str
) -> None:
    forged = "https://evil.example] client=10.0.0.1 [ERROR] request_id=1 \t é" + "x" * 9000
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", name: forged}
    sent = [(key.encode(), value.encode()) for key, value in headers.items()]
    with recorded_log() as log:
        assert fresh.options(TASKS, headers=sent).status_code == 400
        eventually(lambda: "evil" in log.getvalue())
    [line] = log.getvalue().splitlines()
    assert line.count(" client=") == line.count(" request_id=") == 1
    assert line.count("] [") == 4
    assert line.isascii()
    assert len(line) < 600


def test_a_flood_of_origins_is_logged_in_part_and_again_later(
    fresh: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded_log() as log:
        for number in range(MAX_LINES + 20):
            fresh.get("/health/live", headers={"Origin": f"https://{number}.example"})
    lines = refusals(log.getvalue())
    assert len(lines) == MAX_LINES
    assert [line for line in lines if "no more refusals are logged" in line] == lines[-1:]
    monkeypatch.setattr(refused_origins, "INTERVAL", 0.0)
    with recorded_log() as log:
        fresh.get("/health/live", headers={"Origin": "https://0.example"})
        eventually(lambda: "https://0.example" in log.getvalue())


def test_the_pages_of_the_service_itself_are_not_logged(fresh: httpx.Client) -> None:
    """Browsers send Origin with a POST to the origin of the page, as Swagger UI's at /docs."""
    own = str(fresh.base_url).rstrip("/")
    behind_a_proxy = {"Origin": "https://api.example.com", "Sec-Fetch-Site": "same-origin"}
    with recorded_log() as log:
        fresh.post(TASKS, headers={"Origin": own}, json={})
        fresh.post(TASKS, headers=behind_a_proxy, json={})
        fresh.post(TASKS, headers={**behind_a_proxy, "Sec-Fetch-Site": "cross-site"}, json={})
        eventually(lambda: "api.example.com" in log.getvalue())
    assert refusals(log.getvalue()) == [REFUSED.replace(EVIL, "https://api.example.com")]


def test_what_an_allowed_page_sends_is_not_logged(anonymous: httpx.Client) -> None:
    with recorded_log() as log:
        anonymous.get("/health/live", headers={"Origin": ORIGIN})
        preflight(anonymous)
    assert refusals(log.getvalue()) == []


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
