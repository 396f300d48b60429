"""A statement that Postgres has undone because of a deadlock."""

import asyncio
from contextlib import closing

import pytest
from sqlalchemy.engine import URL

from errors import DatabaseUnavailable
from postgres.prepared import Statement
from tests.postgres.recording import Recorded, run
from tests.support.services import backends_that_wait, connect, database_of_its_own, sql

# Locks the tasks with the titles A and B one after the other, in the order of their titles.
BOTH = "WITH tasks_in_order AS (SELECT id FROM tasks ORDER BY title FOR UPDATE) "
BOTH += "UPDATE tasks SET completed = NOT completed WHERE id IN (TABLE tasks_in_order) RETURNING id"


async def until(number: int, url: URL) -> None:
    while len(backends_that_wait(url)) != number:  # noqa: ASYNC110  (the server has no event)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_statement_that_ends_a_deadlock_is_sent_again_and_takes_effect_once(
    is_prepared: bool, postgres: URL
) -> None:
    """The other transaction locks B and then A. The statement notices the deadlock first."""

    async def scenario(scene: Recorded) -> None:
        statement = Statement(BOTH, {} if is_prepared else None)
        await scene.fetch("SET deadlock_timeout = '200ms'")
        with closing(connect(url)) as other, other.cursor() as cursor:
            other.autocommit = False
            cursor.execute("SET deadlock_timeout = '20s'")
            cursor.execute("SELECT FROM tasks WHERE title = 'B' FOR UPDATE")
            fetching = asyncio.create_task(scene.fetch(statement))
            await until(1, url)
            lock = "SELECT FROM tasks WHERE title = 'A' FOR UPDATE"
            await asyncio.to_thread(cursor.execute, lock)  # returns when the statement was undone
            await until(1, url)
            other.commit()
            assert len(await fetching) == 2

    with database_of_its_own(postgres) as url:
        for title in "AB":
            sql(url, "INSERT INTO tasks (user_id, title) VALUES ('alice', %s)", title)
        run(url, scenario)
        assert sql(url, "SELECT completed FROM tasks") == [(True,), (True,)]


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
