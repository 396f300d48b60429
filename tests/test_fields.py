"""Each field of a task: its default, and what happens when a request has it or leaves it out.

These tests read the fields from the schemas, so they cover a new field without a change.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection
from pydantic import BaseModel, create_model

from main import app
from models import tasks
from schemas import TaskCreate, TaskResponse, TaskUpdate
from tasks import queries
from tests.support.examples import examples_of

Create = Callable[..., dict[str, Any]]

DOCUMENT = json.loads(json.dumps(app.openapi()))
MODELS = (TaskCreate, TaskUpdate, TaskResponse)
each_new_field = pytest.mark.parametrize("name", TaskCreate.model_fields)
each_changed_field = pytest.mark.parametrize("name", TaskUpdate.model_fields)


def values_of(name: str) -> list[Any]:
    """Return the values that the OpenAPI document names for a field, without null."""
    schemas = [DOCUMENT["components"]["schemas"][model.__name__] for model in MODELS]
    fields = [schema["properties"][name] for schema in schemas if name in schema["properties"]]
    values = [value for field in fields for value in examples_of(field, DOCUMENT)]
    return [value for value in values if value is not None]


def another_value(name: str, task: dict[str, Any]) -> Any:
    """Return a value for a field that differs from the value in `task`."""
    found = [value for value in values_of(name) if value != task[name]]
    assert found, f"Give {name} an example that is not its default."
    return found[0]


def without_times(task: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the database does not set itself."""
    own = ("id", "created_at", "updated_at")
    return {name: value for name, value in task.items() if name not in own}


@each_new_field
@pytest.mark.parametrize("key", [None, "the-key"])
def test_a_new_task_has_the_value_that_was_sent(
    name: str, key: str | None, client: httpx.Client, alice: str
) -> None:
    for number, value in enumerate(values_of(name)):
        headers = {} if key is None else {"Idempotency-Key": f"{key}-{number}"}
        body = {"title": "Tea", name: value}
        response = client.post(f"/api/{alice}/tasks", json=body, headers=headers)
        assert (response.status_code, response.json()[name]) == (201, value)
        assert client.get(response.headers["location"]).json() == response.json()


def test_a_field_that_was_not_sent_has_the_default_of_its_column(
    client: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    """The schema has its own defaults, which must be the same."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks (user_id, title) VALUES (%s, 'Tea') RETURNING id", (alice,)
        )
        [(task_id,)] = cursor.fetchall()
    inserted = client.get(f"/api/{alice}/tasks/{task_id}").json()
    key = {"Idempotency-Key": "the-key"}
    with_key = client.post(f"/api/{alice}/tasks", json={"title": "Tea"}, headers=key).json()
    for created in (create("Tea"), with_key):
        assert without_times(created) == without_times(inserted)


@each_changed_field
def test_an_update_changes_only_the_field_that_was_sent(
    name: str, client: httpx.Client, alice: str, create: Create
) -> None:
    others = {field: values_of(field)[0] for field in TaskCreate.model_fields if field != name}
    task = create(**{"title": "Another title", **others})
    value = another_value(name, task)
    updated = client.put(f"/api/{alice}/tasks/{task['id']}", json={name: value}).json()
    assert without_times(updated) == without_times(task) | {name: value}


@each_changed_field
def test_null_clears_a_nullable_field_and_is_refused_for_others(
    name: str, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create("Another title")
    path = f"/api/{alice}/tasks/{task['id']}"
    task = client.put(path, json={name: another_value(name, task)}).json()
    response = client.put(path, json={name: None})
    if tasks.c[name].nullable:
        assert without_times(response.json()) == without_times(task) | {name: None}
    else:
        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == f"body.{name}"
        assert client.get(path).json() == task


@each_new_field
def test_a_new_task_accepts_null_only_for_nullable_columns(
    name: str, client: httpx.Client, alice: str
) -> None:
    response = client.post(f"/api/{alice}/tasks", json={"title": "Tea", name: None})
    assert response.status_code == (201 if tasks.c[name].nullable else 400)


@pytest.mark.parametrize(
    "name",
    [
        *("id", "user_id", "created_at", "updated_at"),
        *("task_id", "if_match", "key", "fingerprint"),
    ],
)
def test_a_body_with_a_field_that_clients_may_not_set_is_refused(name: str) -> None:
    body: type[BaseModel] = create_model("Body", **{name: (str, ...)})  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=rf"^Body can't have fields with these names: .*{name}"):
        queries._settable(body)


def test_a_body_with_a_field_that_has_no_column_is_refused() -> None:
    body = create_model("Body", mood=(str, ...))
    with pytest.raises(TypeError, match=r"^Body has fields that models\.Task lacks: \['mood'\]$"):
        queries._settable(body)
