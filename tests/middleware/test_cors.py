"""Pages of an allowed origin may read every response, even errors. Other pages may read none."""

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
    """Alice's client of a service that fails with a 500 for a task called Milk."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Milk')")
        with service(url) as client:
            yield client


@pytest.fixture(scope="module")
def cut_off() -> Iterator[httpx.Client]:
    with unreachable() as client:
        yield client


def statuses(broken: httpx.Client, cut_off: httpx.Client, origin: str) -> dict[str, int]:
    """Return the status of each kind of response, after checking who may read it."""
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
    for kind, response in kinds.items():
        assert_readable(response, origin == ORIGIN, kind)
    return {kind: response.status_code for kind, response in kinds.items()}


def assert_readable(response: httpx.Response, readable: bool, kind: str) -> None:
    origin = response.headers.get("access-control-allow-origin")
    assert origin == (ORIGIN if readable else None), kind
    if readable:
        assert response.headers["access-control-allow-credentials"] == "true", kind
        assert "Origin" in response.headers["vary"], kind
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
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
def test_only_pages_of_the_allowed_origin_may_read_responses(
    broken: httpx.Client, cut_off: httpx.Client, origin: str
) -> None:
    assert statuses(broken, cut_off, origin) == STATUSES


def test_each_of_several_allowed_origins_is_named_in_its_responses(postgres: URL) -> None:
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


def test_cors_allows_the_methods_of_all_routes(app: FastAPI) -> None:
    used = {method for route in iter_route_contexts(app.routes) for method in route.methods or ()}
    assert used - set(cors.METHODS) == set()


PRIVATE = {"Access-Control-Request-Private-Network": "true"}


def test_a_public_page_of_an_allowed_origin_may_call_a_service_in_a_private_network(
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


def test_a_pattern_allows_previews_but_not_lookalike_origins(postgres: URL) -> None:
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
    """Return the messages about refused origins, methods and headers, without their request id."""
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
        fresh.get(TASKS)  # from an allowed origin
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
def test_the_headers_of_a_page_cannot_forge_a_line_or_flood_the_log(
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


def test_only_the_first_of_many_refused_origins_are_logged_in_an_interval(
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


def test_requests_from_the_services_own_pages_are_not_logged(fresh: httpx.Client) -> None:
    """Browsers send Origin with a same-origin POST too, for example from Swagger UI at /docs."""
    own = str(fresh.base_url).rstrip("/")
    behind_a_proxy = {"Origin": "https://api.example.com", "Sec-Fetch-Site": "same-origin"}
    with recorded_log() as log:
        fresh.post(TASKS, headers={"Origin": own}, json={})
        fresh.post(TASKS, headers=behind_a_proxy, json={})
        fresh.post(TASKS, headers={**behind_a_proxy, "Sec-Fetch-Site": "cross-site"}, json={})
        eventually(lambda: "api.example.com" in log.getvalue())
    assert refusals(log.getvalue()) == [REFUSED.replace(EVIL, "https://api.example.com")]


def test_requests_from_an_allowed_page_are_not_logged(anonymous: httpx.Client) -> None:
    with recorded_log() as log:
        anonymous.get("/health/live", headers={"Origin": ORIGIN})
        preflight(anonymous)
    assert refusals(log.getvalue()) == []


def test_a_request_without_an_origin_gets_no_cors_headers(client: httpx.Client) -> None:
    response = client.get("/health/live")
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", [TASKS, "/nowhere"])
def test_responses_vary_by_origin_even_without_one_in_the_request(
    broken: httpx.Client, path: str
) -> None:
    request = broken.build_request("GET", path)
    del request.headers["Origin"]
    assert "Origin" in broken.send(request).headers["Vary"]
    assert "Origin" in broken.get(path).headers["Vary"]
