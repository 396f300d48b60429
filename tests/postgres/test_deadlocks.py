"""A statement that Postgres has rolled back because of a deadlock."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from psycopg2.extensions import cursor as Cursor
from sqlalchemy.engine import URL

from errors import DatabaseUnavailable
from postgres import driver
from postgres.prepared import Statement
from tests.postgres.recording import Recorded, run
from tests.support.services import connect, database_of_its_own, eventually, sql

# Locks the tasks A, B and C one after the other.
EACH = "WITH in_order AS (SELECT id FROM tasks ORDER BY title FOR UPDATE) "
EACH += "UPDATE tasks SET completed = NOT completed WHERE id IN (TABLE in_order) RETURNING id"
LOCK = "SELECT FROM tasks WHERE title = %s FOR UPDATE"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"


async def until_waiting(number: int, url: URL) -> None:
    while sql(url, WAITING) != [(number,)]:  # noqa: ASYNC110  (the server has no event)
        await asyncio.sleep(0.01)


@contextmanager
def transaction(url: URL, title: str) -> Iterator[Cursor]:
    """Lock the task, in a transaction that leaves it to others to notice a deadlock."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SET deadlock_timeout = '60s'")
        cursor.execute(LOCK, [title])
        yield cursor


@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_statement_that_ends_a_deadlock_is_sent_again_and_takes_effect_once(
    is_prepared: bool, postgres: URL
) -> None:
    """The other transaction locks C and waits for A. The statement locks A and waits for C."""

    async def scenario(scene: Recorded) -> None:
        statement = Statement(EACH, {} if is_prepared else None)
        await scene.fetch("SET deadlock_timeout = '10ms'")
        with transaction(url, "B") as gate, transaction(url, "C") as other:
            fetching = asyncio.create_task(scene.fetch(statement))
            await until_waiting(1, url)
            locking = asyncio.create_task(asyncio.to_thread(other.execute, LOCK, ["A"]))
            await until_waiting(2, url)
            gate.connection.commit()
            await locking
            other.connection.commit()
            assert len(await fetching) == 3

    with database_of_its_own(postgres) as url:
        for title in "ABC":
            sql(url, "INSERT INTO tasks (user_id, title) VALUES ('alice', %s)", title)
        run(url, scenario)
        assert sql(url, "SELECT completed FROM tasks") == [(True,)] * 3
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert eventually(lambda: sql(url, deadlocks) == [(1,)])


def test_the_second_attempt_has_a_time_limit_too(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer, which serves all statements of a connection, ends during the pause."""

    async def scenario(scene: Recorded) -> None:
        await scene.fetch("SELECT 1")  # opens the connection, without this limit
        monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.5)
        monkeypatch.setattr(driver, "DEADLOCK_PAUSE", 0.4)
        await scene.fetch("SELECT 1")
        await asyncio.sleep(0.3)
        with pytest.raises(DatabaseUnavailable):
            await scene.fetch(Statement("SELECT fails_once()", {}))
        monkeypatch.undo()

    with database_of_its_own(postgres) as url:
        sql(url, "CREATE SEQUENCE attempts")
        sql(
            url,
            "CREATE FUNCTION fails_once() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('attempts') = 1 THEN RAISE SQLSTATE '40P01'; END IF;"
            " PERFORM pg_sleep(10); END $$",
        )
        run(url, scenario)


def test_a_second_deadlock_is_an_error(postgres: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        with pytest.raises(DatabaseUnavailable):
            await scene.fetch(Statement("SELECT always_fails()", {}))
        assert await scene.fetch(Statement("SELECT 1", {})) == [(1,)]

    with database_of_its_own(postgres) as url:
        sql(
            url,
            "CREATE FUNCTION always_fails() RETURNS text LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE SQLSTATE '40P01'; END $$",
        )
        run(url, scenario)
