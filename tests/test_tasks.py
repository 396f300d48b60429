"""The operations on tasks, and who may call them: Alice owns the tasks, and Bob does not."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from schemas import TaskCreate
from tests.support.serving import bearer

Task = dict[str, Any]
Create = Callable[..., Task]

RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
STRANGE = {
    "id": 987_654_321,
    "user_id": "bob",
    "created_at": "2001-01-01T00:00:00Z",
    "updated_at": "2001-01-01T00:00:00Z",
    "owner": "bob",
}
NOT_AUTHENTICATED = {
    "detail": "Log in first: the request has no token (Authorization: Bearer <token>).",
    "code": "NOT_AUTHENTICATED",
}
NOT_FOUND = {"detail": "There is no such task.", "code": "TASK_NOT_FOUND"}
FORBIDDEN = {"detail": "These are not your tasks.", "code": "FORBIDDEN"}


class Operation(NamedTuple):
    method: str
    path: str
    body: Task | None
    success: int

    def of(self, user_id: str, task_id: int) -> dict[str, Any]:
        """Return the arguments of a request for this operation."""
        path = self.path.format(user=user_id, task=task_id)
        return {"method": self.method, "url": path, "json": self.body}


LIST = Operation("GET", "/api/{user}/tasks", None, 200)
STATS = Operation("GET", "/api/{user}/tasks/stats", None, 200)
CLEAR = Operation("DELETE", "/api/{user}/tasks?status=completed", None, 200)
ERASE = Operation("DELETE", "/api/{user}/tasks?status=all", None, 200)
CREATE = Operation("POST", "/api/{user}/tasks", {"title": "Another"}, 201)
GET = Operation("GET", "/api/{user}/tasks/{task}", None, 200)
UPDATE = Operation("PUT", "/api/{user}/tasks/{task}", {"title": "Changed"}, 200)
PATCH = Operation("PATCH", "/api/{user}/tasks/{task}", {"title": "Changed"}, 200)
NO_CHANGE = Operation("PUT", "/api/{user}/tasks/{task}", {}, 200)
DELETE = Operation("DELETE", "/api/{user}/tasks/{task}", None, 204)
TOGGLE = Operation("PATCH", "/api/{user}/tasks/{task}/complete", None, 200)
COMPLETE = Operation("PATCH", "/api/{user}/tasks/{task}/complete", {"completed": True}, 200)

ON_ONE_TASK = [GET, UPDATE, PATCH, NO_CHANGE, DELETE, TOGGLE, COMPLETE]
on_one_task = pytest.mark.parametrize("operation", ON_ONE_TASK)
on_all = pytest.mark.parametrize("operation", [LIST, STATS, CLEAR, ERASE, CREATE, *ON_ONE_TASK])


def rows_of(database: Connection, user_id: str) -> list[tuple[Any, ...]]:
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM tasks WHERE user_id = %s ORDER BY id", [user_id])
        return cursor.fetchall()


@on_all
def test_every_operation_requires_a_token(
    operation: Operation, anonymous: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    task = create()
    before = rows_of(database, alice)
    response = anonymous.request(**operation.of(alice, task["id"]))
    assert (response.status_code, response.json()) == (401, NOT_AUTHENTICATED)
    assert response.headers["www-authenticate"] == "Bearer"
    assert rows_of(database, alice) == before


@on_one_task
@pytest.mark.parametrize("task_id", [None, 2**63 - 1])
def test_an_absent_task_is_a_404(
    operation: Operation, task_id: int | None, client: httpx.Client, alice: str, create: Create
) -> None:
    deleted = create()["id"]
    client.delete(f"/api/{alice}/tasks/{deleted}")
    response = client.request(**operation.of(alice, task_id or deleted))
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


@on_one_task
def test_the_task_of_another_user_is_forbidden(
    operation: Operation,
    client: httpx.Client,
    alice: str,
    bob: str,
    create: Create,
    database: Connection,
) -> None:
    task = create()
    before = rows_of(database, alice)
    response = client.request(**operation.of(bob, task["id"]), headers=bearer(bob))
    assert (response.status_code, response.json()) == (403, FORBIDDEN)
    assert rows_of(database, alice) == before
    assert rows_of(database, bob) == []


@on_all
@pytest.mark.parametrize("there_is_a_task", [True, False])
def test_the_path_of_another_user_is_forbidden(
    operation: Operation,
    there_is_a_task: bool,
    client: httpx.Client,
    alice: str,
    bob: str,
    create: Create,
    database: Connection,
) -> None:
    task_id = create()["id"] if there_is_a_task else 2**63 - 1
    before = rows_of(database, alice)
    response = client.request(**operation.of(alice, task_id), headers=bearer(bob))
    assert (response.status_code, response.json()) == (403, FORBIDDEN)
    assert rows_of(database, alice) == before


@on_all
def test_the_owner_may_call_every_operation(
    operation: Operation, client: httpx.Client, alice: str, create: Create
) -> None:
    response = client.request(**operation.of(alice, create()["id"]))
    assert response.status_code == operation.success, response.text


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"title": "Buy milk"}, {"title": "Buy milk", "description": None}),
        (
            {"title": " \tBuy milk\n", "description": " 2 l "},
            {"title": "Buy milk", "description": " 2 l "},
        ),
        ({"title": "Buy milk", "description": ""}, {"title": "Buy milk", "description": ""}),
        ({"title": "Buy milk", "description": None}, {"title": "Buy milk", "description": None}),
        (
            {**STRANGE, "title": "Buy milk"},
            {"title": "Buy milk", "description": None},
        ),
        (
            {"title": "Buy milk", "completed": True},
            {"title": "Buy milk", "description": None, "completed": True},
        ),
    ],
)
def test_create_returns_the_whole_task(
    sent: Task, kept: Task, client: httpx.Client, alice: str
) -> None:
    response = client.post(f"/api/{alice}/tasks", json=sent)
    task: Task = response.json()
    times = {name: task[name] for name in ("created_at", "updated_at")}
    assert response.status_code == 201
    defaults = TaskCreate(title="Tea").model_dump(mode="json")
    own = {"id": task["id"], "user_id": alice, "completed": False, **times}
    assert task == {**defaults, **own, **kept}
    assert not {task["id"], *times.values()} & set(STRANGE.values())
    assert response.headers["location"] == f"/api/{alice}/tasks/{task['id']}"
    assert client.get(response.headers["location"]).json() == task


def test_times_are_in_utc_and_set_by_the_database(create: Create) -> None:
    task = create()
    created = datetime.fromisoformat(task["created_at"])
    assert RFC3339_UTC.fullmatch(task["created_at"])
    assert task["updated_at"] == task["created_at"]
    assert abs(datetime.now(UTC) - created) < timedelta(seconds=30)


@pytest.mark.parametrize(
    "user_id",
    [
        "Xq3ZbLw9RkT7VnM2sYc5HdJ8fGpA4eUo",
        "3f2b8c1e-6a4d-4f5b-9c7e-1d2a3b4c5d6e",
        "42",
        "Zoë+1 100%?#&;é@[x]",
        "a/b",
        "/",
        "a%2Fb",
        "ü" * 255,
    ],
)
def test_a_user_id_may_be_any_text(user_id: str, client: httpx.Client) -> None:
    path = f"/api/{quote(user_id, safe='')}/tasks"
    response = client.post(path, json={"title": "Mine"}, headers=bearer(user_id))
    task: Task = response.json()
    assert (response.status_code, task["user_id"]) == (201, user_id)
    assert response.headers["location"] == f"{path}/{task['id']}"
    assert client.get(response.headers["location"], headers=bearer(user_id)).json() == task
    listed = client.get(path, headers=bearer(user_id)).json()["tasks"]
    assert task in listed
    assert {other["user_id"] for other in listed} == {user_id}


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d👩\u200d👧\u200d👦 🇪🇺 ❤️",
        "e\u0301 is not \u00e9",
        "שלום \u202e\u0645\u0631\u062d\u0628\u0627\u202c",
        "日本語 \U00020000",
        "\ufeffzero\u200bwidth",
        "'; DROP TABLE tasks; -- \\ \" %s %(title)s :id {x} $1",
        "control \x01\x1b\x7f in between",
    ],
)
def test_text_is_returned_unchanged(
    text: str, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create(text, description=text)
    path = f"/api/{alice}/tasks/{task['id']}"
    changed = client.put(path, json={"title": text + "!", "description": text + "!"}).json()
    assert (task["title"], task["description"]) == (text, text)
    assert (changed["title"], changed["description"]) == (text + "!", text + "!")
    assert client.get(path).json() == changed


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("completed", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Buy oat milk"},
        {"description": "1 l"},
        {"description": ""},
        {"description": None},
        {"completed": True},
        {"completed": False},
        {"title": "Buy oat milk", "completed": True},
        {"title": "Buy oat milk", "description": None, "completed": False},
    ],
)
def test_an_update_changes_only_the_fields_sent(
    method: str, changes: Task, completed: bool, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create(description="2 l", completed=completed)
    path = f"/api/{alice}/tasks/{task['id']}"
    response = client.request(method, path, json={**STRANGE, **changes})
    changed: Task = response.json()
    assert response.status_code == 200
    assert changed == {**task, **changes, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]
    assert client.get(path).json() == changed


def test_an_updated_title_is_trimmed(client: httpx.Client, alice: str, create: Create) -> None:
    response = client.put(f"/api/{alice}/tasks/{create()['id']}", json={"title": "\u3000Tea "})
    assert response.json()["title"] == "Tea"


@pytest.mark.parametrize("nothing", [{}, STRANGE])
def test_an_update_without_fields_changes_nothing(
    nothing: Task, client: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    task = create(description="2 l")
    before = rows_of(database, alice)
    response = client.put(f"/api/{alice}/tasks/{task['id']}", json=nothing)
    assert (response.status_code, response.json()) == (200, task)
    assert rows_of(database, alice) == before


def test_each_toggle_inverts_completed(client: httpx.Client, alice: str, create: Create) -> None:
    task = create(description="2 l")
    for completed in (True, False, True):
        response = client.patch(f"/api/{alice}/tasks/{task['id']}/complete")
        toggled: Task = response.json()
        assert response.status_code == 200
        assert toggled == {**task, "completed": completed, "updated_at": toggled["updated_at"]}
        assert toggled["updated_at"] > task["updated_at"]
        assert client.get(f"/api/{alice}/tasks/{task['id']}").json() == toggled
        task = toggled


@pytest.mark.parametrize("completed", [True, False])
@pytest.mark.parametrize("body", [{}, STRANGE, {"title": " ", "description": 5}])
def test_the_body_of_complete_sets_only_completed(
    body: Task, completed: bool, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create(completed=not completed)
    path = f"/api/{alice}/tasks/{task['id']}"
    response = client.patch(f"{path}/complete", json={**body, "completed": completed})
    changed: Task = response.json()
    assert response.status_code == 200
    assert changed == {**task, "completed": completed, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]
    assert client.get(path).json() == changed


@pytest.mark.parametrize("completed", [True, False])
def test_setting_completed_to_its_current_value_changes_nothing(
    completed: bool, client: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    task = create(completed=completed)
    before = rows_of(database, alice)
    for _ in range(2):
        path = f"/api/{alice}/tasks/{task['id']}/complete"
        response = client.patch(path, json={"completed": completed})
        assert (response.status_code, response.json()) == (200, task)
    assert rows_of(database, alice) == before


@pytest.mark.parametrize("body", [{}, STRANGE, {"title": "x"}, {"status": "completed"}])
def test_a_body_without_completed_toggles(
    body: Task, client: httpx.Client, alice: str, create: Create
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}/complete"
    for completed in (True, False):
        response = client.patch(path, json=body)
        assert (response.status_code, response.json()["completed"]) == (200, completed)


def test_updated_at_increases_even_if_the_clock_was_set_back(
    client: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}"
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks SET updated_at = '2100-01-01T00:00:00Z' WHERE user_id = %s", [alice]
        )
    toggled = client.patch(f"{path}/complete").json()["updated_at"]
    updated = client.put(path, json={"title": "Tea"}).json()["updated_at"]
    set_ = client.patch(f"{path}/complete", json={"completed": False}).json()["updated_at"]
    assert [toggled, updated, set_] == [f"2100-01-01T00:00:00.00000{n}Z" for n in (1, 2, 3)]


def test_delete_removes_the_task_and_no_other(
    client: httpx.Client, alice: str, create: Create, database: Connection
) -> None:
    task, other = create(), create()
    path = f"/api/{alice}/tasks/{task['id']}"
    response = client.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert client.delete(path).status_code == 404
    assert [row[0] for row in rows_of(database, alice)] == [other["id"]]


def test_an_id_is_never_reused(client: httpx.Client, alice: str, create: Create) -> None:
    first = create()["id"]
    client.delete(f"/api/{alice}/tasks/{first}")
    assert create()["id"] > first
