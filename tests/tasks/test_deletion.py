"""Clearing completed tasks and erasing a user: only these tasks are deleted, and counted right."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL

from routing import admission
from tasks.deletion import BATCH
from tests.support.services import (
    backends_that_wait,
    connect,
    database_of_its_own,
    eventually,
    service,
    sql,
)
from tests.support.serving import bearer

Create = Callable[..., dict[str, Any]]

FILL = """
INSERT INTO tasks (user_id, title, completed)
SELECT %s, 'x', n %% 2 = 0 FROM generate_series(1, %s) AS n
"""
TASKS = "/api/alice/tasks"


def titles(client: httpx.Client, path: str) -> list[str]:
    return [task["title"] for task in client.get(path, params={"order": "asc"}).json()["tasks"]]


@pytest.fixture
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


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


@contextmanager
def locked_last_task(url: URL, number: int) -> Iterator[Callable[[], None]]:
    """Create tasks of alice, lock the last one as an operator might, and yield the release."""
    sql(url, FILL, "alice", number)
    with closing(connect(url)) as operator, operator.cursor() as cursor:
        operator.autocommit = False
        cursor.execute("SELECT max(id) FROM tasks")
        cursor.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", cursor.fetchone())
        yield operator.rollback


def test_the_error_says_how_many_tasks_were_deleted_before_a_failure(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postgres.driver.STATEMENT_TIMEOUT", 1.0)
    with service(url) as client, locked_last_task(url, BATCH + 10) as release:
        response = client.delete(TASKS, params={"status": "all"})
        detail = (
            "The database cannot be reached at the moment; try again. At least 10000 tasks were"
            " deleted; send the request again to delete the rest."
        )
        body = {"detail": detail, "code": "DATABASE_UNAVAILABLE"}
        assert (response.status_code, response.json()) == (503, body)
        assert response.headers["retry-after"] == "1"
        # The response does not wait for the cancellation of the statement.
        eventually(lambda: not backends_that_wait(url))
        release()
        assert client.get(f"{TASKS}/stats").json()["total"] == 10
        assert client.delete(TASKS, params={"status": "all"}).json() == {"deleted": 10}


def test_a_task_that_is_reopened_during_the_deletion_is_kept(url: URL) -> None:
    with (
        service(url) as client,
        ThreadPoolExecutor(1) as thread,
        closing(connect(url)) as other,
        other.cursor() as cursor,
    ):
        kept, gone = (
            client.post(TASKS, json={"title": title, "completed": True}).json()["id"]
            for title in ("kept", "gone")
        )
        other.autocommit = False
        cursor.execute("UPDATE tasks SET completed = false WHERE id = %s", [kept])
        clearing = thread.submit(client.delete, TASKS, params={"status": "completed"})
        eventually(lambda: backends_that_wait(url))
        other.commit()
        assert clearing.result().json() == {"deleted": 1}
        assert [task["id"] for task in client.get(TASKS).json()["tasks"]] == [kept] != [gone]


def test_the_deletion_goes_on_after_the_client_has_disconnected(url: URL) -> None:
    with service(url) as client, locked_last_task(url, BATCH + 10) as release:
        with pytest.raises(httpx.ReadTimeout):
            client.delete(TASKS, params={"status": "all"}, timeout=0.5)
        release()
        eventually(lambda: sql(url, "SELECT count(*) FROM tasks") == [(0,)])


def test_other_users_requests_run_between_the_batches(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one connection, and alice's deletion is using it when bob's request arrives."""
    monkeypatch.setattr(admission, "MAX_WAIT", 60.0)
    with service(url, db_pool_size=1) as client, ThreadPoolExecutor(1) as thread:
        sql(url, FILL, "alice", 4 * BATCH)
        clearing = thread.submit(client.delete, TASKS, params={"status": "all"}, timeout=60)
        time.sleep(0.05)
        response = client.get("/api/bob/tasks", headers=bearer("bob"))
        assert response.status_code == 200
        assert not clearing.done()
        assert clearing.result().json() == {"deleted": 4 * BATCH}


def test_concurrent_deletions_count_each_task_once(url: URL) -> None:
    with service(url) as client, ThreadPoolExecutor(4) as threads:
        sql(url, FILL, "alice", BATCH + 500)
        each = [threads.submit(client.delete, TASKS, params={"status": "all"}) for _ in range(4)]
        responses = [one.result() for one in each]
        assert {response.status_code for response in responses} == {200}
        assert sum(response.json()["deleted"] for response in responses) == BATCH + 500


REVERSED = """
INSERT INTO tasks (user_id, title, completed, created_at)
SELECT 'alice', 'x', n IN (1, 1500, 3000), timestamptz '2026-01-01Z' - n * interval '1 minute'
FROM generate_series(1, 3000) AS n
"""


def test_deletions_with_different_plans_lock_tasks_in_the_same_order(url: URL) -> None:
    """One deletion reads an index, and the other the table, where the tasks are in reverse order.

    Both wait for the task in the middle. If each had locked the task that is the last one of the
    other by then, it would be a deadlock.
    """
    sql(url, "INSERT INTO tasks (user_id, title) SELECT n, 'x' FROM generate_series(1, 30000) AS n")
    sql(url, REVERSED)
    sql(url, "ANALYZE tasks")
    with (
        service(url) as client,
        ThreadPoolExecutor(2) as threads,
        closing(connect(url)) as operator,
        operator.cursor() as cursor,
    ):
        operator.autocommit = False
        cursor.execute("SELECT FROM tasks WHERE user_id = 'alice' AND id = 31500 FOR UPDATE")
        assert cursor.rowcount == 1
        clearing = threads.submit(client.delete, TASKS, params={"status": "completed"})
        eventually(lambda: len(backends_that_wait(url)) == 1)
        erasing = threads.submit(client.delete, TASKS, params={"status": "all"})
        eventually(lambda: len(backends_that_wait(url)) == 2)
        operator.rollback()
        assert clearing.result().json() == {"deleted": 3}
        assert erasing.result().json() == {"deleted": 2997}
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert sql(url, deadlocks) == [(0,)]


@pytest.mark.parametrize("status", ["completed", "all"])
def test_tasks_that_change_meanwhile_are_deleted_at_any_isolation_level(
    status: str, url: URL
) -> None:
    sql(url, f"ALTER DATABASE {url.database} SET default_transaction_isolation = serializable")
    sql(url, FILL, "alice", 2)
    with (
        service(url) as client,
        ThreadPoolExecutor(1) as thread,
        closing(connect(url)) as other,
        other.cursor() as cursor,
    ):
        other.autocommit = False
        cursor.execute("UPDATE tasks SET title = 'y'")
        deletion = thread.submit(client.delete, TASKS, params={"status": status})
        eventually(lambda: backends_that_wait(url))
        other.commit()
        response = deletion.result()
        deleted = 2 if status == "all" else 1
        assert (response.status_code, response.json()) == (200, {"deleted": deleted})
