"""The whole body and headers of every error, which contain nothing that the client sent."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from tests.support.services import INTERNAL_ERROR, database_of_its_own, recorded_log, service, sql
from tests.support.serving import ORIGIN, bearer

NOT_FOUND = {"detail": "There is nothing at this path.", "code": "NOT_FOUND"}
METHOD_NOT_ALLOWED = {
    "detail": "This path does not accept this method; the Allow header lists its methods.",
    "code": "METHOD_NOT_ALLOWED",
}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ALLOWED = {
    "/api/alice/tasks": {"DELETE", "GET", "HEAD", "POST"},
    "/api/alice/tasks/": {"DELETE", "GET", "HEAD", "POST"},
    "/api/alice/tasks/1": {"DELETE", "GET", "HEAD", "PATCH", "PUT"},
    "/api/alice/tasks/1/": {"DELETE", "GET", "HEAD", "PATCH", "PUT"},
    "/api/ali%2Fce/tasks": {"DELETE", "GET", "HEAD", "POST"},
    "/api/alice/tasks/not-an-id": {"DELETE", "GET", "HEAD", "PATCH", "PUT"},
    "/api/alice/tasks/1/complete": {"PATCH"},
    "/api/alice/tasks/1/complete/": {"PATCH"},
    "/health": {"GET", "HEAD"},
    "/health/live": {"GET", "HEAD"},
}


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for path in ALLOWED for method in METHODS if method not in ALLOWED[path]],
)
def test_a_method_that_the_path_does_not_support_is_a_405(
    anonymous: httpx.Client, method: str, path: str
) -> None:
    user = "ali/ce" if "%2F" in path else "alice"
    response = anonymous.request(method, path, headers=bearer(user))
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == ALLOWED[path]
    assert method == "HEAD" or response.json() == METHOD_NOT_ALLOWED


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/assets/favicon.png"])
def test_the_documentation_is_read_only(anonymous: httpx.Client, path: str) -> None:
    response = anonymous.delete(path)
    assert (response.status_code, response.json()) == (405, METHOD_NOT_ALLOWED)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/alice",
        "/api/alice/tasks//",
        "/api/alice/tasks/1//",
        "/api/alice/tasks/1/complete//",
        "/api/alice/tasks/1/complete/2",
        "/API/alice/tasks",
        "/api//tasks",
        "/api/alice%2Ftasks",
        "//api/alice/tasks",
        "/health/",
        "/health/ready",
        "/%00",
        "/\u202e",
    ],
)
def test_an_unknown_path_is_a_404(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    "path", ["/docs/assets/nothing.js", "/docs/assets/..%2f__init__.py", "/docs/assets/%2e%2e"]
)
def test_only_the_documentations_own_files_are_served(anonymous: httpx.Client, path: str) -> None:
    response = anonymous.get(path)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


def test_each_error_of_a_task_has_its_own_body(
    client: httpx.Client, alice: str, bob: str, create: Callable[..., dict[str, Any]]
) -> None:
    own, path = create()["id"], f"/api/{alice}/tasks"
    answers = {
        "VALIDATION_ERROR": client.post(path, json={"title": "\t"}),
        "FORBIDDEN": client.get(f"/api/{bob}/tasks"),
        "TASK_NOT_FOUND": client.get(f"{path}/{own + 1_000_000}"),
        "PAYLOAD_TOO_LARGE": client.post(path, content=b" " * 65_537),
    }
    bodies = {code: (answer.status_code, answer.json()) for code, answer in answers.items()}
    assert bodies == {
        "VALIDATION_ERROR": (
            400,
            {
                "detail": "title must not be blank.",
                "code": "VALIDATION_ERROR",
                "errors": [{"field": "body.title", "message": "title must not be blank."}],
            },
        ),
        "FORBIDDEN": (403, {"detail": "These are not your tasks.", "code": "FORBIDDEN"}),
        "TASK_NOT_FOUND": (404, {"detail": "There is no such task.", "code": "TASK_NOT_FOUND"}),
        "PAYLOAD_TOO_LARGE": (
            413,
            {"detail": "The body is larger than 64 KiB.", "code": "PAYLOAD_TOO_LARGE"},
        ),
    }
    assert answers["PAYLOAD_TOO_LARGE"].headers["connection"] == "close"


@pytest.fixture(scope="module")
def broken(postgres: URL) -> Iterator[tuple[httpx.Client, URL]]:
    """A service whose database has a constraint that the service doesn't know, as after a bug."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Secret milk')")
        with service(url) as client:
            yield client, url


def test_a_bug_is_a_500_that_reveals_nothing(broken: tuple[httpx.Client, URL]) -> None:
    client, _ = broken
    task = {"title": "Secret milk", "description": "Secret cow"}
    with recorded_log() as log:
        response = client.post("/api/alice/tasks", json=task)
    assert (response.status_code, response.json()) == (500, INTERNAL_ERROR)
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["content-type"] == "application/json"
    assert "[ERROR] [alice] [POST /api/alice/tasks] [500 INTERNAL_ERROR" in log.getvalue()
    assert "Traceback" in log.getvalue() or 'File "' in log.getvalue()
    assert "routes/tasks.py" in log.getvalue()
    assert "CheckViolation" in log.getvalue()
    for secret in ("Secret milk", "Secret cow", "DETAIL", "Failing row", "INSERT INTO"):
        assert secret not in log.getvalue() + response.text


def test_a_bug_in_an_update_reveals_nothing(broken: tuple[httpx.Client, URL]) -> None:
    client, _ = broken
    task = client.post("/api/alice/tasks", json={"title": "Secret tea"}).json()
    path = f"/api/alice/tasks/{task['id']}"
    with recorded_log() as log:
        response = client.put(path, json={"title": "Secret milk"})
    assert (response.status_code, response.json()) == (500, INTERNAL_ERROR)
    assert "Secret" not in log.getvalue()
    assert client.get(path).json() == task


def test_the_service_keeps_working_after_a_bug(broken: tuple[httpx.Client, URL]) -> None:
    client, url = broken
    for _ in range(20):
        assert client.post("/api/alice/tasks", json={"title": "Secret milk"}).status_code == 500
    assert client.post("/api/alice/tasks", json={"title": "Tea"}).status_code == 201
    [(connections,)] = sql(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'task%%'"
        " AND datname = current_database()",
    )
    assert 1 <= connections <= 6
