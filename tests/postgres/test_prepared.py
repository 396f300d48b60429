"""If a prepared statement is missing or outdated, it is sent again and takes effect once."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg2 import errors
from sqlalchemy.engine import URL

from errors import DatabaseNotMigrated
from observability.instruments import traced_connection
from postgres.prepared import Statement
from tasks import queries
from tests.postgres.recording import (
    DEALLOCATE,
    EXECUTE,
    LIST,
    PREPARE,
    Recorded,
    a_new_task,
    a_task,
    forget,
    run,
)
from tests.support.services import sql

Surprise = Callable[[Recorded], Awaitable[None]]

# Each statement, and the (title, completed) of the rows that it removes and adds.
EFFECTS: dict[str, tuple[Statement, list[Any], list[Any]]] = {
    "create": (queries.CREATE, [], [("Oolong", True)]),
    "update": (queries.UPDATE.always, [("Tea", False)], [("Oolong", True)]),
    "toggle": (queries.TOGGLE.always, [("Tea", False)], [("Tea", True)]),
    "complete": (queries.SET_COMPLETED.always, [("Tea", False)], [("Tea", True)]),
    "delete": (queries.DELETE.always, [("Tea", False)], []),
    "get": (queries.GET, [], []),
    "list": (LIST, [], []),
}


def rows_of(url: URL) -> set[tuple[Any, ...]]:
    return set(sql(url, "SELECT id, title, completed FROM tasks"))


def test_a_connection_prepares_a_statement_once(url: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        for _ in range(3):
            assert len(await scene.fetch(queries.GET, **values)) == 1
        assert scene.commands() == [PREPARE, EXECUTE, EXECUTE]

    run(url, scenario)


def test_a_new_connection_has_no_prepared_statements(url: URL) -> None:
    """After a failover, a new connection may lead to another server."""

    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        for _ in range(2):
            await scene.fetch(queries.GET, **values)
            scene.session.database.close_connections()
        assert scene.commands() == [PREPARE, PREPARE]
        assert not scene.is_pooled

    run(url, scenario)


async def prepare_elsewhere(scene: Recorded) -> None:
    """Prepare all statements, as another client of a pooler does on a shared server connection."""
    await scene.fetch("DEALLOCATE ALL")
    for statement, _, _ in EFFECTS.values():
        prepare, _, _ = statement.prepare.partition("; EXECUTE")
        await scene.fetch(prepare.replace("%%", "%"))


async def change_a_type(scene: Recorded) -> None:
    """Change the type of a column, as a migration does while the service runs."""
    [(kind,)] = await scene.fetch(
        "SELECT data_type FROM information_schema.columns"
        " WHERE table_name = 'tasks' AND column_name = 'title'"
    )
    other = "varchar(200)" if kind == "text" else "text"
    await scene.fetch(f"ALTER TABLE tasks ALTER title TYPE {other}")


# By SQLSTATE: the event, whether the statement was used before, the messages, and `is_pooled`.
SURPRISES: dict[str, tuple[Surprise, bool, list[str], bool]] = {
    "26000": (forget, True, [EXECUTE, PREPARE], True),
    "42P05": (prepare_elsewhere, False, [PREPARE, EXECUTE], True),
    "0A000": (change_a_type, True, [EXECUTE, DEALLOCATE], False),
}


@pytest.mark.parametrize(("statement", "gone", "new"), EFFECTS.values(), ids=EFFECTS.keys())
@pytest.mark.parametrize(
    ("surprise", "used", "sent", "pooled"), SURPRISES.values(), ids=SURPRISES.keys()
)
def test_a_statement_is_sent_again_and_takes_effect_once(
    surprise: Surprise,
    used: bool,
    sent: list[str],
    pooled: bool,
    statement: Statement,
    gone: list[Any],
    new: list[Any],
    url: URL,
) -> None:
    async def scenario(scene: Recorded) -> None:
        if used:
            await scene.fetch(statement, **a_task(url))
        await surprise(scene)
        values = a_task(url)
        before = rows_of(url)
        scene.commands()
        assert await scene.fetch(statement, **values)
        assert scene.commands() == sent
        assert scene.is_pooled == pooled
        after = rows_of(url)
        assert [row[1:] for row in before - after] == gone
        assert [row[1:] for row in after - before] == new

    run(url, scenario)


def test_a_column_type_may_change_and_change_back(url: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        await scene.fetch(queries.GET, **values)
        for _ in range(2):
            await change_a_type(scene)
            scene.commands()
            for _ in range(2):
                [row] = await scene.fetch(queries.GET, **values)
                assert row[2] == "Tea"
            assert scene.commands() == [EXECUTE, DEALLOCATE, EXECUTE]

    run(url, scenario)


UNKNOWN_AT_FIRST = """
CREATE SEQUENCE calls; CREATE FUNCTION unknown_at_first() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('calls') = 1 THEN RAISE SQLSTATE '26000'; END IF;
    RETURN currval('calls');
END $$
"""


def test_a_third_message_does_not_use_prepared_statements(url: URL) -> None:
    """The second message may fail too: here because the first one has prepared the name."""

    async def scenario(scene: Recorded) -> None:
        statement = Statement("SELECT unknown_at_first()", {})
        assert await scene.fetch(statement) == [(2,)]
        assert scene.commands() == [PREPARE, PREPARE, "SELECT"]

    sql(url, UNKNOWN_AT_FIRST)
    run(url, scenario)


def fails_when_executed(scene: Recorded) -> Awaitable[list[Any]]:
    return scene.fetch(queries.CREATE, **a_new_task(title=""))


async def fails_when_prepared(scene: Recorded) -> None:
    await scene.fetch("ALTER TABLE tasks RENAME TO hidden")
    try:
        await scene.fetch(queries.CREATE, **a_new_task())
    finally:
        await scene.fetch("ALTER TABLE hidden RENAME TO tasks")


@pytest.mark.parametrize(
    ("fails", "error", "sent"),
    [
        (fails_when_executed, errors.CheckViolation, [PREPARE, EXECUTE, EXECUTE]),
        (fails_when_prepared, DatabaseNotMigrated, [PREPARE, EXECUTE]),
    ],
)
def test_other_errors_are_not_a_sign_of_a_pooler(
    fails: Callable[[Recorded], Awaitable[Any]],
    error: type[Exception],
    sent: list[str],
    url: URL,
) -> None:
    """When a message fails, its PREPARE is not rolled back."""

    async def scenario(scene: Recorded) -> None:
        with pytest.raises(error):
            await fails(scene)
        scene.commands()
        for _ in range(2):
            await scene.fetch(queries.CREATE, **a_new_task())
        assert scene.commands() == sent
        assert not scene.is_pooled

    run(url, scenario)


def test_a_statement_that_is_sent_twice_is_one_span(url: URL) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def scenario(scene: Recorded) -> None:
        scene.session.database.connection_class = traced_connection(provider.get_tracer("tests"))
        values = a_task(url)
        await scene.fetch(queries.GET, **values)
        await forget(scene)
        exporter.clear()
        await scene.fetch(queries.GET, **values)
        assert scene.is_pooled

    run(url, scenario)
    [span] = exporter.get_finished_spans()
    assert span.name == "SELECT"
    assert span.attributes is not None
    assert span.attributes["db.query.text"] == queries.GET.sql
