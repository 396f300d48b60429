"""A role or a database with a stricter default isolation level."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from errors import DatabaseUnavailable
from postgres.prepared import READ_COMMITTED, Statement
from tasks import queries
from tests.postgres.recording import PREPARE, Recorded, a_task, run
from tests.support.services import backends_that_wait, connect, database_of_its_own, sql

SET = "SET"  # READ_COMMITTED begins with it


@pytest.fixture(params=["repeatable read", "serializable"])
def strict(request: pytest.FixtureRequest, postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        change = f"ALTER DATABASE {url.database} SET default_transaction_isolation"
        sql(url, f"{change} = '{request.param}'")
        yield url


async def toggle_during_a_change(scene: Recorded, url: URL, values: dict[str, Any]) -> Any:
    """Toggle a task while another transaction changes it. The toggle waits for its commit."""
    other = connect(url)
    other.autocommit = False
    try:
        with other.cursor() as cursor:
            cursor.execute("UPDATE tasks SET completed = true, updated_at = clock_timestamp()")
        toggle = asyncio.create_task(scene.fetch(queries.TOGGLE.always, **values))
        while not backends_that_wait(url):  # noqa: ASYNC110  (the server has no event)
            await asyncio.sleep(0.01)
        other.commit()
        return await toggle
    finally:
        other.close()


@pytest.mark.parametrize("prepared_statements", [True, False])
def test_a_toggle_waits_for_a_concurrent_change_and_is_not_lost(
    prepared_statements: bool, strict: URL
) -> None:
    async def scenario(scene: Recorded) -> None:
        values = a_task(strict)
        # When a message fails, its PREPARE is not rolled back. So the second message finds that the
        # name is taken.
        sent_in_turn = [[PREPARE, SET], [SET, SET], [SET]]
        if not prepared_statements:
            sent_in_turn = [["UPDATE", SET], [SET]]
        for sent in sent_in_turn:
            [row] = await toggle_during_a_change(scene, strict, values)
            assert row[4] is False  # the other transaction completed it
            assert scene.commands() == sent

    run(strict, scenario, prepared_statements=prepared_statements)


@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_statement_that_is_sent_again_takes_effect_once(is_prepared: bool, strict: URL) -> None:
    """The first message fails, and Postgres rolls back its changes."""

    async def scenario(scene: Recorded) -> None:
        statement = Statement("SELECT fails_once()", {} if is_prepared else None)
        assert await scene.fetch(statement) == [("read committed",)]
        assert scene.messages[-1] == f"{READ_COMMITTED}{statement.sql}"
        assert await scene.fetch(statement) == [("read committed",)]

    sql(
        strict,
        """CREATE FUNCTION fails_once() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO tasks (user_id, title) VALUES ('alice', 'Tea');
            IF current_setting('transaction_isolation') <> 'read committed' THEN
                RAISE SQLSTATE '40001';
            END IF;
            RETURN current_setting('transaction_isolation');
        END $$""",
    )
    run(strict, scenario)
    assert sql(strict, "SELECT count(*) FROM tasks") == [(2,)]


def test_a_second_failure_is_an_error(strict: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        with pytest.raises(DatabaseUnavailable):
            await scene.fetch(Statement("SELECT always_fails()", {}))

    sql(
        strict,
        "CREATE FUNCTION always_fails() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE SQLSTATE '40001'; END $$",
    )
    run(strict, scenario)
