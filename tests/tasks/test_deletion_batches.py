"""Deletions of many tasks, deletions that fail, and simultaneous deletions."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import get_args

import httpx
import pytest
from sqlalchemy.engine import URL

from routing import admission
from schemas import Cleared
from tasks.deletion import BATCH, STATEMENTS
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    INTERNAL_ERROR,
    backends_that_wait,
    connect,
    database_of_its_own,
    eventually,
    service,
    sql,
)
from tests.support.serving import bearer

FILL = """
INSERT INTO tasks (user_id, title, completed)
SELECT %s, 'x', n %% 2 = 0 FROM generate_series(1, %s) AS n
"""
TASKS = "/api/alice/tasks"


@pytest.fixture
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


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
        body = {**DATABASE_UNAVAILABLE, "detail": DATABASE_UNAVAILABLE["detail"] + REST}
        assert (response.status_code, response.json()) == (503, body)
        assert response.headers["retry-after"] == "1"
        # The response does not wait for the cancellation of the statement.
        eventually(lambda: not backends_that_wait(url))
        release()
        assert client.get(f"{TASKS}/stats").json()["total"] == 10
        assert client.delete(TASKS, params={"status": "all"}).json() == {"deleted": 10}


FAILS = f"""
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF OLD.id > {BATCH} THEN RAISE 'no'; END IF; RETURN OLD; END $$;
CREATE TRIGGER fails BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION fails()
"""
REST = " At least 10000 tasks were deleted; send the request again to delete the rest."


def test_an_error_of_the_database_says_how_many_tasks_were_deleted_before_it(url: URL) -> None:
    with service(url) as client:
        sql(url, FILL, "alice", BATCH + 10)
        sql(url, FAILS)
        response = client.delete(TASKS, params={"status": "all"})
        expected = {**INTERNAL_ERROR, "detail": INTERNAL_ERROR["detail"] + REST}
        assert (response.status_code, response.json()) == (500, expected)


def test_a_shutdown_says_how_many_tasks_were_deleted_before_it(url: URL) -> None:
    with ThreadPoolExecutor(1) as thread, locked_last_task(url, BATCH + 10):
        with service(url, shutdown_timeout=1) as client:
            address = f"{client.base_url}{TASKS}?status=all"
            deletion = thread.submit(httpx.delete, address, headers=bearer("alice"), timeout=20)
            eventually(lambda: backends_that_wait(url))
        response = deletion.result()
        expected = {**DATABASE_UNAVAILABLE, "detail": DATABASE_UNAVAILABLE["detail"] + REST}
        assert (response.status_code, response.json()) == (503, expected)


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


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("status", get_args(Cleared))
def test_a_batch_is_chosen_in_the_order_of_an_index(
    status: Cleared, is_analyzed: bool, url: URL
) -> None:
    """Otherwise, each batch would sort all of the user's tasks, even without statistics."""
    sql(url, FILL, "alice", 30_000)
    if is_analyzed:
        sql(url, "ANALYZE tasks")
    statement = STATEMENTS[status].sql.replace("%(user_id)s", "'alice'")
    plan = "\n".join(line for (line,) in sql(url, f"EXPLAIN {statement}"))
    chosen = plan[plan.index("CTE chosen") : plan.index("CTE deleted")]
    assert re.search(r"Index Scan using tasks_(completed_)?by_created", chosen), plan
    assert "Sort" not in chosen, plan


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
