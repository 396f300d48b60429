"""Prepared statements: their deadline, when they are turned off, and generic plans."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pytest
from psycopg2 import errors
from sqlalchemy.engine import URL

from errors import DatabaseUnavailable
from postgres import driver, prepared
from postgres.prepared import Names, PreparedStatements
from tasks import queries
from tests.postgres.recording import (
    DEALLOCATE,
    EXECUTE,
    PREPARE,
    Recorded,
    a_task,
    forget,
    run,
)
from tests.support.services import (
    backends_that_wait,
    connect,
    eventually,
    service,
    sql,
)


def test_the_deadline_covers_all_messages_of_a_statement(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message waits for a migration that changes a type, the second for another lock."""
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 2.5)

    async def scenario(scene: Recorded) -> None:
        values, loop = a_task(url), asyncio.get_running_loop()
        await scene.fetch(queries.GET, **values)
        scene.commands()
        with closing(connect(url)) as migration, closing(connect(url)) as other:
            migration.autocommit = other.autocommit = False
            await change_a_type_in(migration)
            began = loop.time()
            fetching = asyncio.create_task(scene.fetch(queries.GET, **values))
            await asyncio.to_thread(eventually, lambda: backends_that_wait(url))
            lock = "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"
            locking = asyncio.create_task(asyncio.to_thread(other.cursor().execute, lock))
            await asyncio.sleep(1.5)
            migration.commit()
            with pytest.raises(DatabaseUnavailable):
                await fetching
            assert scene.commands() == [EXECUTE, DEALLOCATE]
            assert 2.4 < loop.time() - began < 4  # 1.5 + 2.5, if the deadline began again
            await locking

    async def change_a_type_in(migration: Any) -> None:
        migration.cursor().execute("ALTER TABLE tasks ALTER title TYPE varchar(201)")
        migration.cursor().execute("ALTER TABLE tasks ALTER title TYPE text")

    sql(url, "ALTER TABLE tasks ALTER title TYPE varchar(200)")
    run(url, scenario)


def test_no_message_is_sent_after_the_deadline(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is blocked, so it sees the error and the timeout at the same time.

    The connection is kept, because no statement is running on it.
    """

    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        await scene.fetch(queries.GET, **values)
        await forget(scene)
        pid = await scene.fetch("SELECT pg_backend_pid()")
        with monkeypatch.context() as patch:
            patch.setattr(driver, "STATEMENT_TIMEOUT", 0.1)
            fetching = asyncio.create_task(scene.fetch(queries.GET, **values))
            asyncio.get_running_loop().call_soon(time.sleep, 0.2)  # right after the message is sent
            with pytest.raises(DatabaseUnavailable):
                await fetching
        assert await scene.fetch("SELECT pg_backend_pid()") == pid
        assert len(await scene.fetch(queries.GET, **values)) == 1

    run(url, scenario)


def test_statements_that_are_lost_too_often_are_no_longer_prepared(
    url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prepared, "RECOVERIES", 10)

    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        for _ in range(30):
            assert len(await scene.fetch(queries.GET, **values)) == 1
            await forget(scene)
        sent = [command for command in scene.commands() if command != DEALLOCATE]
        assert sent == [PREPARE, *[EXECUTE, PREPARE] * 10, *["SELECT"] * 19]

    with caplog.at_level(logging.WARNING):
        run(url, scenario)
    assert [record.message for record in caplog.records] == [prepared.LOST]


def test_statements_that_are_lost_rarely_stay_prepared() -> None:
    statements = PreparedStatements()
    names: Names = {}
    for _ in range(3 * prepared.RECOVERIES):
        for _ in range(prepared.RARE):
            statements.message(queries.GET, names)
        statements.recover(queries.GET, errors.InvalidSqlStatementName(), names)
    assert statements.enabled


@pytest.mark.parametrize("enabled", [True, False])
def test_the_setting_turns_prepared_statements_on_and_off(url: URL, enabled: bool) -> None:
    sent = "SELECT query FROM pg_stat_activity WHERE datname = %s AND application_name <> 'tests'"
    with service(url, db_prepared_statements=enabled, db_pool_size=1) as client:
        for _ in range(2):
            assert client.get("/api/alice/tasks").status_code == 200
        rows = sql(url, sent, url.database)
        [(query,)] = [row for row in rows if "task" in row[0] and "pg_attribute" not in row[0]]
    assert query.startswith(EXECUTE if enabled else "SELECT")


ORDERS = [(sort, order) for sort in ("created", "title") for order in ("asc", "desc")]


@pytest.fixture
def generic(url: URL) -> Iterator[URL]:
    """A database with 300 tasks of carol's, where every plan is generic.

    By default Postgres uses a generic plan after five executions, if it is not much worse.
    """
    insert = (
        "INSERT INTO tasks (user_id, title, completed, created_at)"
        " SELECT 'carol', md5(n::text), n % 3 = 0, timestamptz '2026-01-01Z' + n * interval '1 day'"
        " FROM generate_series(1, 300) AS n"
    )
    sql(url, insert)
    sql(url, f"ALTER DATABASE {url.database} SET plan_cache_mode = force_generic_plan")
    yield url
    sql(url, f"ALTER DATABASE {url.database} RESET plan_cache_mode")


def test_pages_read_with_generic_plans_have_every_task_in_order(generic: URL) -> None:
    statuses = {"all": "true", "pending": "NOT completed", "completed": "completed"}
    with service(generic, "carol") as client:
        for (sort, order), (status, condition) in product(ORDERS, statuses.items()):
            key = "created_at" if sort == "created" else "lower(title)"
            expected = sql(
                generic,
                f"SELECT id FROM tasks WHERE user_id = 'carol' AND {condition}"
                f" ORDER BY {key} {order}, id {order}",
            )
            path = f"/api/carol/tasks?sort={sort}&order={order}&status={status}&limit=60"
            found, cursor = [], ""
            while cursor is not None:
                page = client.get(path + (cursor and f"&cursor={cursor}")).json()
                found += [(task["id"],) for task in page["tasks"]]
                cursor = page["next_cursor"]
            assert found == expected


def test_plans_are_generic_if_the_server_forces_them(generic: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        await scene.fetch(queries.GET, **a_task(generic))
        used = "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
        assert await scene.fetch(used) == [(1, 0)]

    run(generic, scenario)
