"""Clearing completed tasks and erasing a user: only these tasks are deleted and counted."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from tasks.deletion import BATCH
from tests.support.serving import bearer

Create = Callable[..., dict[str, Any]]

FILL = """
INSERT INTO tasks (user_id, title, completed)
SELECT %s, 'x', n %% 2 = 0 FROM generate_series(1, %s) AS n
"""


def titles(client: httpx.Client, path: str) -> list[str]:
    return [task["title"] for task in client.get(path, params={"order": "asc"}).json()["tasks"]]


@pytest.mark.parametrize(
    ("status", "deleted", "left"), [("completed", 2, ["todo", "to do"]), ("all", 4, [])]
)
def test_only_the_chosen_tasks_of_one_user_are_deleted(
    status: str, deleted: int, left: list[str], client: httpx.Client, alice: str, bob: str
) -> None:
    for user in (alice, bob):
        for title, completed in (("todo", 0), ("done", 1), ("over", 1), ("to do", 0)):
            body = {"title": title, "completed": bool(completed)}
            client.post(f"/api/{user}/tasks", json=body, headers=bearer(user))
    path = f"/api/{alice}/tasks"
    response = client.delete(path, params={"status": status})
    assert (response.status_code, response.json()) == (200, {"deleted": deleted})
    assert titles(client, path) == left
    again = client.delete(path, params={"status": status})
    assert (again.status_code, again.json()) == (200, {"deleted": 0})
    foreign = client.get(f"/api/{bob}/tasks", headers=bearer(bob))
    assert foreign.json()["count"] == 4


ACCIDENTS = {
    "no status": ("", "query.status"),
    "empty status": ("?status=", "query.status"),
    "pending": ("?status=pending", "query.status"),
    "another case": ("?status=ALL", "query.status"),
    "undefined": ("?status=undefined", "query.status"),
    "white space after it": ("?status=all%20", "query.status"),
    "a semicolon after it": ("?status=all;id=7", "query.status"),
    "another case of the name": ("?Status=all", "query.status query.Status"),
    "two statuses, one encoded": ("?status=all&%73tatus=completed", "query.status"),
    "completed=true instead": ("?completed=true", "query.status query.completed"),
    "with another parameter": ("?status=all&completed=true", "query.completed"),
    "with a limit": ("?status=all&limit=1", "query.limit"),
    "with an id": ("?status=all&id=7", "query.id"),
    "with a search": ("?status=all&q=x", "query.q"),
    "two statuses": ("?status=completed&status=all", "query.status"),
    "the same status twice": ("?status=all&status=all", "query.status"),
    "another user": ("?status=all&user_id=bob", "query.user_id"),
    "an empty id": ("/", "path.task_id"),
    "an empty id and a status": ("/?status=all", "path.task_id"),
    "undefined as an id": ("/undefined?status=all", "path.task_id"),
    "all as an id": ("/all", "path.task_id"),
}


@pytest.mark.parametrize("name", ACCIDENTS)
def test_a_request_that_may_be_a_mistake_deletes_nothing(
    name: str, client: httpx.Client, alice: str, create: Create
) -> None:
    create(completed=True)
    end, fields = ACCIDENTS[name]
    response = client.delete(f"/api/{alice}/tasks{end}")
    body = response.json()
    assert (response.status_code, body["code"]) == (400, "VALIDATION_ERROR")
    assert sorted(error["field"] for error in body["errors"]) == sorted(fields.split())
    assert client.get(f"/api/{alice}/tasks").json()["count"] == 1


@pytest.mark.parametrize("end", ["//", "/%20", "/%2F", "%2F", "/?status=all&x"])
def test_no_unusual_path_deletes_tasks(
    end: str, client: httpx.Client, alice: str, create: Create
) -> None:
    create(completed=True)
    url = client.base_url.copy_with(raw_path=f"/api/{alice}/tasks{end}".encode())
    response = client.send(httpx.Request("DELETE", url, headers=bearer(alice)))
    assert response.status_code in (400, 404)
    assert client.get(f"/api/{alice}/tasks").json()["count"] == 1


BODIES: dict[str, dict[str, Any]] = {
    "ids": {"json": {"ids": [7]}},
    "no ids": {"json": {}},
    "ids in chunks": {"content": iter([b'{"ids": [7]}'])},
    "an ETag": {"headers": {"If-Match": '"2026-01-09T12:30:45.123456Z"'}},
    "any ETag": {"headers": {"If-Match": "*"}},
}


@pytest.mark.parametrize("name", BODIES)
def test_a_request_with_a_body_or_a_condition_deletes_nothing(
    name: str, client: httpx.Client, alice: str, create: Create
) -> None:
    """A client that sends ids or an ETag wants to delete a few tasks, not all of them."""
    create()
    path = f"/api/{alice}/tasks"
    response = client.request("DELETE", path, params={"status": "all"}, **BODIES[name])
    field = "header.If-Match" if "headers" in BODIES[name] else "body"
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)
    assert client.get(path).json()["count"] == 1


def test_an_empty_body_counts_as_no_body(client: httpx.Client, alice: str, create: Create) -> None:
    create()
    path, headers = f"/api/{alice}/tasks", {"Content-Length": "0"}
    response = client.delete(path, params={"status": "all"}, headers=headers)
    assert response.json() == {"deleted": 1}


def test_the_error_says_what_is_wrong(client: httpx.Client, alice: str) -> None:
    path = f"/api/{alice}/tasks"
    details = {
        "": "status is required.",
        "?status=pending": "status must be completed or all.",
        "?status=all&page=2": "page is unknown; the parameters are status.",
        "/?status=all": "task_id is missing: the path ends with a slash.",
    }
    assert {end: client.delete(path + end).json()["detail"] for end in details} == details


def test_a_list_is_still_served_with_a_slash_at_the_end(client: httpx.Client, alice: str) -> None:
    path = f"/api/{alice}/tasks/"
    assert client.get(path).json() == {"tasks": [], "count": 0, "next_cursor": None}
    assert client.put(path).headers["allow"] == "DELETE, GET, HEAD, POST"


def keys_of(database: Connection, user_id: str) -> int:
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM idempotency_keys WHERE user_id = %s", [user_id])
        [(number,)] = cursor.fetchall()
        return int(number)


def test_erasing_a_user_deletes_tasks_and_idempotency_keys(
    client: httpx.Client, alice: str, bob: str, database: Connection
) -> None:
    for user in (alice, bob):
        headers = {"Idempotency-Key": "k", **bearer(user)}
        client.post(f"/api/{user}/tasks", json={"title": "x", "completed": True}, headers=headers)
    path = f"/api/{alice}/tasks"
    assert client.delete(path, params={"status": "completed"}).json() == {"deleted": 1}
    assert keys_of(database, alice) == 1  # for a client that sends its create again
    assert client.delete(path, params={"status": "all"}).json() == {"deleted": 0}
    assert (keys_of(database, alice), keys_of(database, bob)) == (0, 1)


def test_more_keys_than_fit_one_batch_are_erased(
    client: httpx.Client, alice: str, database: Connection
) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO idempotency_keys SELECT %s, n, '', n FROM generate_series(1, %s) AS n",
            [alice, BATCH + 5],
        )
    response = client.delete(f"/api/{alice}/tasks", params={"status": "all"})
    assert (response.status_code, response.json()) == (200, {"deleted": 0})
    assert keys_of(database, alice) == 0


@pytest.mark.parametrize("status", ["completed", "all"])
def test_more_tasks_than_fit_one_batch_are_deleted_and_counted(
    status: str, client: httpx.Client, alice: str, database: Connection
) -> None:
    number = 2 * BATCH + 10
    with database.cursor() as cursor:
        cursor.execute(FILL, [alice, number])
    deleted = number if status == "all" else number // 2
    response = client.delete(f"/api/{alice}/tasks", params={"status": status})
    assert (response.status_code, response.json()) == (200, {"deleted": deleted})
    assert response.headers["content-type"] == "application/json"
    assert client.get(f"/api/{alice}/tasks/stats").json() == {
        "total": number - deleted,
        "pending": number - deleted,
        "completed": 0,
    }
