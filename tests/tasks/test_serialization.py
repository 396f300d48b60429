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


@pytest.mark.parametrize("fraction", [".123456", ".12", ""])
@pytest.mark.parametrize("zone", ["+00", "+05:30"])
def test_one_task_and_many_have_the_same_times(fraction: str, zone: str) -> None:
    times = dict.fromkeys(("created_at", "updated_at"), f"2026-01-09 12:30:45{fraction}{zone}")
    row = [times.get(name) for name in TaskResponse.model_fields]
    assert to_tasks([row, row]) == [to_task(row)] * 2


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
