"""Pages of an allowed origin and of another one that call the service with `fetch`."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import pytest
from sqlalchemy.engine import URL

from main import create_app
from middleware.cors import REQUEST_HEADERS
from tests.parts.browser import PREVIEWS
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    INTERNAL_ERROR,
    claims,
    database_of_its_own,
    forge,
    sql,
)
from tests.support.serving import SECRET, make_settings, serving
from tests.support.tcp_proxy import proxy
from tokens.verifier import make_token

pytestmark = pytest.mark.parts

# Return what a script of the page sees of a response, or the name of the error from `fetch`.
CALL = """async ([method, url, token, body, others]) => {
    const headers = {...others};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== null) headers["Content-Type"] = "application/json";
    try {
        const response = await fetch(url, {method, headers, body, credentials: "include"});
        const text = await response.text();
        const seen = {status: response.status, headers: Object.fromEntries(response.headers)};
        return {...seen, body: text ? JSON.parse(text) : null};
    } catch (error) {
        return {thrown: error.name};
    }
}"""
BLOCKED = {"thrown": "TypeError"}

Outcome = dict[str, Any]


class Page(BaseHTTPRequestHandler):
    """A frontend: an empty page, in which the test runs its scripts."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A frontend</title>")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[str, str]]:
    """Two origins that serve pages. Only the first will be allowed."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Page) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    allowed, other = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield allowed, other
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


class Frontend:
    """A page in the browser, and the service that it calls."""

    def __init__(self, page: Any, service: str) -> None:
        self._page = page
        self._service = service

    def call(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: str | None = None,
        **headers: str,
    ) -> Outcome:
        others = {name.replace("_", "-"): value for name, value in headers.items()}
        arguments = [method, self._service + path, token, body, others]
        response: Outcome = self._page.evaluate(CALL, arguments)
        return response


class Visit(Protocol):
    def __call__(self, origin: str, url: URL, allowed: str = "") -> Frontend:
        """Start a service that allows `allowed`, and open a page of `origin` that can call it."""


@pytest.fixture
def visit(chromium: Any, origins: tuple[str, str]) -> Iterator[Visit]:
    """A function that opens a page and starts a service, by default one that allows origins[0]."""
    with ExitStack() as stack:

        def visit(origin: str, url: URL, allowed: str = "") -> Frontend:
            allowed = allowed or origins[0]
            settings = make_settings(url, environment="production", allowed_origins=allowed)
            base_url = stack.enter_context(serving(create_app(settings)))
            context = stack.enter_context(closing(chromium.new_context()))
            page = context.new_page()
            page.goto(origin)
            return Frontend(page, base_url)

        yield visit


@pytest.fixture
def database(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


def code(response: Outcome) -> tuple[int, str]:
    return response["status"], response["body"]["code"]


def test_a_page_of_an_allowed_origin_calls_every_operation(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    page, token = visit(origins[0], database), make_token("alice", SECRET)
    created = page.call("POST", "/api/alice/tasks", token, '{"title": "Buy milk"}')
    task = created["body"]
    path = f"/api/alice/tasks/{task['id']}"
    assert (created["status"], created["headers"]["location"]) == (201, path)
    assert page.call("GET", path, token)["body"] == task
    listed = page.call("GET", "/api/alice/tasks?status=pending&limit=5", token)
    assert listed["body"] == {"tasks": [task], "count": 1, "next_cursor": None}
    updated = page.call("PUT", path, token, '{"title": "Buy oat milk"}')
    assert (updated["status"], updated["body"]["title"]) == (200, "Buy oat milk")
    toggled = page.call("PATCH", f"{path}/complete", token)
    assert (toggled["status"], toggled["body"]["completed"]) == (200, True)
    removed = page.call("DELETE", path, token)
    assert (removed["status"], removed["body"]) == (204, None)
    assert page.call("GET", "/health")["body"]["status"] == "healthy"


def test_a_page_of_an_allowed_origin_reads_every_error(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    page, token = visit(origins[0], database), make_token("alice", SECRET)
    tasks = "/api/alice/tasks"

    invalid = page.call("POST", tasks, token, '{"title": " "}')
    assert code(invalid) == (400, "VALIDATION_ERROR")
    assert invalid["body"]["errors"][0]["field"] == "body.title"

    anonymous = page.call("GET", tasks)
    assert code(anonymous) == (401, "NOT_AUTHENTICATED")
    assert anonymous["headers"]["www-authenticate"] == "Bearer"
    assert code(page.call("GET", tasks, f"{token}x")) == (401, "INVALID_TOKEN")
    expired = forge({**claims("alice"), "exp": 1})
    assert code(page.call("GET", tasks, expired)) == (401, "TOKEN_EXPIRED")

    assert code(page.call("GET", "/api/bob/tasks", token)) == (403, "FORBIDDEN")
    for method, path in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")]:
        response = page.call(method, f"{tasks}/1{path}", token, "{}" if method == "PUT" else None)
        assert code(response) == (404, "TASK_NOT_FOUND")
    assert code(page.call("GET", "/nothing")) == (404, "NOT_FOUND")

    wrong = page.call("PUT", tasks, token, "{}")
    assert code(wrong) == (405, "METHOD_NOT_ALLOWED")
    assert wrong["headers"]["allow"] == "DELETE, GET, HEAD, POST"

    large = '{"title": "' + "x" * 70_000 + '"}'
    assert code(page.call("POST", tasks, token, large)) == (413, "PAYLOAD_TOO_LARGE")


def test_a_page_of_an_allowed_origin_uses_idempotency_keys_and_etags(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    page, token = visit(origins[0], database), make_token("alice", SECRET)
    tasks, key = "/api/alice/tasks", "the-key"
    created = page.call("POST", tasks, token, '{"title": "Tea"}', Idempotency_Key=key)
    again = page.call("POST", tasks, token, '{"title": "Tea"}', Idempotency_Key=key)
    assert (again["status"], again["body"]) == (201, created["body"])
    assert again["headers"]["idempotency-replayed"] == "true"
    reused = page.call("POST", tasks, token, '{"title": "Milk"}', Idempotency_Key=key)
    assert code(reused) == (409, "IDEMPOTENCY_KEY_REUSED")

    path, version = created["headers"]["location"], created["headers"]["etag"]
    assert page.call("GET", path, token, If_None_Match=version)["status"] == 304
    changed = page.call("PUT", path, token, '{"title": "Milk"}', If_Match=version)
    assert (changed["status"], changed["headers"]["etag"] != version) == (200, True)
    late = page.call("DELETE", path, token, If_Match=version)
    assert code(late) == (412, "PRECONDITION_FAILED")


def test_a_page_of_an_allowed_origin_may_send_the_headers_of_common_libraries(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    page, token = visit(origins[0], database), make_token("alice", SECRET)
    own = ("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key")
    names = [name.replace("-", "_") for name in REQUEST_HEADERS if name not in own]
    others = dict.fromkeys(names, "1")
    assert page.call("GET", "/api/alice/tasks", token, None, **others)["status"] == 200
    assert page.call("GET", "/api/alice/tasks", token, None, X_New="1") == BLOCKED
    assert "status" in page.call("HEAD", "/health/live", token)


def test_only_previews_that_match_the_pattern_may_call_the_service(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    port, token = origins[0].rpartition(":")[2], make_token("alice", SECRET)
    allowed = f"http://app-*-team.{PREVIEWS}:{port}"
    for host, is_allowed in (
        ("app-pr-7-team", True),
        ("app-pr-7-others", False),
        ("app-pr.7-team", False),
    ):
        page = visit(f"http://{host}.{PREVIEWS}:{port}", database, allowed)
        response = page.call("GET", "/api/alice/tasks", token)
        assert (response.get("status") == 200) == is_allowed, host
        assert is_allowed or response == BLOCKED


FAILING_TRIGGER = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a bug'; END $$;
CREATE TRIGGER fails BEFORE INSERT ON tasks EXECUTE FUNCTION fail()
"""


def test_a_page_of_an_allowed_origin_reads_a_500_and_a_503(
    visit: Visit, origins: tuple[str, str], postgres: URL
) -> None:
    token = make_token("alice", SECRET)
    with database_of_its_own(postgres) as url:
        sql(url, FAILING_TRIGGER)
        page = visit(origins[0], url)
        response = page.call("POST", "/api/alice/tasks", token, '{"title": "Buy milk"}')
        assert (response["status"], response["body"]) == (500, INTERNAL_ERROR)
    with proxy(postgres) as closed:
        response = visit(origins[0], closed.url).call("GET", "/api/alice/tasks", token)
        assert (response["status"], response["body"]) == (503, DATABASE_UNAVAILABLE)
        assert response["headers"]["retry-after"] == "1"


def test_a_page_of_another_origin_reads_nothing_and_changes_nothing(
    visit: Visit, origins: tuple[str, str], database: URL
) -> None:
    page, token = visit(origins[1], database), make_token("alice", SECRET)
    sql(database, "INSERT INTO tasks (user_id, title) VALUES ('alice', 'Buy milk')")
    before = sql(database, "SELECT * FROM tasks")
    [(task,)] = sql(database, "SELECT id FROM tasks")
    path = f"/api/alice/tasks/{task}"
    calls: list[tuple[str, str, str | None]] = [
        ("GET", "/api/alice/tasks", None),
        ("POST", "/api/alice/tasks", '{"title": "Buy bread"}'),
        ("GET", path, None),
        ("PUT", path, '{"title": "Buy bread"}'),
        ("PATCH", f"{path}/complete", None),
        ("DELETE", path, None),
    ]
    for method, url, body in calls:
        assert page.call(method, url, token, body) == BLOCKED
        assert page.call(method, url, None, body) == BLOCKED  # not even an error is readable
    assert page.call("GET", "/health") == BLOCKED
    assert sql(database, "SELECT * FROM tasks") == before
