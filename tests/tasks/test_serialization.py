"""The JSON of responses is exactly what the documentation says."""

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from psycopg2.extensions import connection as Connection
from pydantic import BaseModel

import routes.tasks
from schemas import TaskListResponse, TaskResponse
from tasks.serialization import Task, TaskList, to_task, to_tasks

Create = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("written", "model"), [(Task, TaskResponse), (TaskList, TaskListResponse)])
def test_the_json_has_the_fields_of_the_schema(
    written: type[msgspec.Struct], model: type[BaseModel]
) -> None:
    assert written.__struct_fields__ == tuple(model.model_fields)


def documented(response: httpx.Response, model: type[BaseModel]) -> Any:
    """Return the JSON of `response`, after checking that it has exactly the fields of `model`."""
    model.model_validate_json(response.content, strict=True, extra="forbid")
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == list(model.model_fields)
    return response.json()


@pytest.mark.parametrize(
    "description", [None, "", '"quoted" \\ and\nbroken', "\x01\x1f\x7f \u2028 é 😀 \u202eאב"]
)
def test_every_response_has_the_documented_fields(
    description: str | None,
    monkeypatch: pytest.MonkeyPatch,
    client: httpx.Client,
    alice: str,
    create: Create,
) -> None:
    task = create("Tea", description=description)
    path, key = f"/api/{alice}/tasks", secrets.token_urlsafe()
    created = {"title": "Tea", "description": description}
    for response in (
        client.post(path, json=created),
        *(client.post(path, json=created, headers={"Idempotency-Key": key}) for _ in range(2)),
        client.get(f"{path}/{task['id']}"),
        client.put(f"{path}/{task['id']}", json={"title": "Tea"}),
        client.put(f"{path}/{task['id']}", json={}),
        client.patch(f"{path}/{task['id']}/complete"),
    ):
        assert documented(response, TaskResponse)["description"] == description
    monkeypatch.setattr(routes.tasks, "RESPONSE_PART", -1)  # send every list in parts
    for query in ("", "?limit=1"):
        response = client.get(path + query)
        assert "content-length" not in response.headers
        listed = documented(response, TaskListResponse)
        for each in listed["tasks"]:
            assert list(each) == list(TaskResponse.model_fields)
            assert each["description"] == description


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2026-01-09 12:30:45.123456+00", "2026-01-09T12:30:45.123456Z"),
        ("2026-01-09 12:30:45.12+00", "2026-01-09T12:30:45.120000Z"),
        ("2026-01-09 12:30:45+00", "2026-01-09T12:30:45.000000Z"),
        ("2026-01-09 18:00:45.12+05:30", "2026-01-09T12:30:45.120000Z"),
        ("2026-01-09 00:30:45.123456-12", "2026-01-09T12:30:45.123456Z"),
        ("1849-12-31 23:59:59.9+00:19:32", "1849-12-31T23:40:27.900000Z"),
        ("infinity", "infinity"),
        ("12026-01-09 12:30:45.12345+00", "12026-01-09 12:30:45.12345+00"),
        (None, None),
    ],
)
def test_a_time_is_in_utc_with_six_decimals(written: str | None, sent: str | None) -> None:
    times = {"created_at": written, "updated_at": written}
    row = [times.get(name) for name in TaskResponse.model_fields]
    task = to_task(row)
    assert (task.created_at, task.updated_at) == (sent, sent)
    assert to_tasks([row, row]) == [task, task]


def test_no_rows_become_an_empty_list() -> None:
    assert to_tasks([]) == []


def test_times_are_in_utc_whatever_the_time_zone_of_the_session(
    database: Connection, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    with database.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        [name] = cursor.fetchone() or [""]
        cursor.execute(f"ALTER DATABASE \"{name}\" SET TimeZone = 'Asia/Kolkata'")
        try:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            path = f"/api/{alice}/tasks"
            assert client.get(f"{path}/{task['id']}").json() == task
            assert client.get(path).json()["tasks"] == [task]
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" RESET TimeZone')
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
