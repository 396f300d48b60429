"""Prepared statements: sent again if the server has others than expected, and never done twice."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import product
from typing import Any

import psycopg2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg2 import errors
from sqlalchemy.engine import URL

from errors import DatabaseUnavailable
from observability.instruments import traced_connection
from postgres import driver, prepared
from postgres.prepared import Names, PreparedStatements, Statement
from tasks import queries
from tests.postgres.recording import Recorded, recorded
from tests.support.services import (
    backends_that_wait,
    connect,
    eventually,
    service,
    sql,
)

Scenario = Callable[[Recorded], Awaitable[None]]
Surprise = Scenario

LIST = queries.list_tasks("all", "created", "asc", after=False)
# Each statement, and the titles and completion of the rows that are gone and new afterwards.
EFFECTS: dict[str, tuple[Statement, list[Any], list[Any]]] = {
    "create": (queries.CREATE, [], [("Oolong", False)]),
    "update": (queries.UPDATE.always, [("Tea", False)], [("Oolong", False)]),
    "toggle": (queries.TOGGLE.always, [("Tea", False)], [("Tea", True)]),
    "delete": (queries.DELETE.always, [("Tea", False)], []),
    "get": (queries.GET, [], []),
    "list": (LIST, [], []),
}
PREPARE, EXECUTE, DEALLOCATE = "PREPARE", "EXECUTE", "DEALLOCATE"


def run(url: URL, scenario: Scenario, **options: Any) -> None:
    """Run `scenario` on one recorded connection."""

    async def limited() -> None:
        async with asyncio.timeout(20), recorded(url, **options) as scene:
            await scenario(scene)

    asyncio.run(limited())


def a_task(url: URL) -> dict[str, Any]:
    """Return the parameters of every statement, for a new task."""
    [(task_id,)] = sql(
        url, "INSERT INTO tasks (user_id, title) VALUES ('alice', 'Tea') RETURNING id"
    )
    changes = queries.update_values({"title": "Oolong", "description": None})
    return {"user_id": "alice", "task_id": task_id, "limit": 1000, **changes}


def rows_of(url: URL) -> set[tuple[Any, ...]]:
    return set(sql(url, "SELECT id, title, completed FROM tasks"))


def test_a_connection_prepares_a_statement_once(url: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        for _ in range(3):
            assert len(await scene.fetch(queries.GET, **values)) == 1
        assert scene.commands() == [PREPARE, EXECUTE, EXECUTE]

    run(url, scenario)


def test_a_new_connection_knows_nothing(url: URL) -> None:
    """After a failover it leads to another server, which has prepared nothing."""

    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        for _ in range(2):
            await scene.fetch(queries.GET, **values)
            scene.session.database.close_connections()
        assert scene.commands() == [PREPARE, PREPARE]
        assert not scene.is_pooled

    run(url, scenario)


async def forget(scene: Recorded) -> None:
    await scene.fetch("DEALLOCATE ALL")


async def prepare_elsewhere(scene: Recorded) -> None:
    """Leave what another connection would leave on a server connection of a pooler."""
    await scene.fetch("DEALLOCATE ALL")
    for statement, _, _ in EFFECTS.values():
        prepare, _, _ = statement.prepare.partition("; EXECUTE")
        await scene.fetch(prepare.replace("%%", "%"))


async def change_a_type(scene: Recorded) -> None:
    """Migrate while the service runs."""
    [(kind,)] = await scene.fetch(
        "SELECT data_type FROM information_schema.columns"
        " WHERE table_name = 'tasks' AND column_name = 'title'"
    )
    other = "varchar(200)" if kind == "text" else "text"
    await scene.fetch(f"ALTER TABLE tasks ALTER title TYPE {other}")


# What happens, whether the statement was used before, what is sent then, whether it is a pooler's.
SURPRISES: dict[str, tuple[Surprise, bool, list[str], bool]] = {
    "26000": (forget, True, [EXECUTE, PREPARE], True),
    "42P05": (prepare_elsewhere, False, [PREPARE, EXECUTE], True),
    "0A000": (change_a_type, True, [EXECUTE, DEALLOCATE], False),
}


@pytest.mark.parametrize(("statement", "gone", "new"), EFFECTS.values(), ids=EFFECTS.keys())
@pytest.mark.parametrize(
    ("surprise", "used", "sent", "pooled"), SURPRISES.values(), ids=SURPRISES.keys()
)
def test_a_statement_is_sent_again_and_done_once(
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


def test_a_type_that_changes_and_changes_back_is_followed(url: URL) -> None:
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


def test_a_third_message_prepares_nothing(url: URL) -> None:
    """The second may meet a surprise of its own, here because the first did prepare the name."""

    async def scenario(scene: Recorded) -> None:
        statement = Statement("SELECT unknown_at_first()", {})
        assert await scene.fetch(statement) == [(2,)]
        assert scene.commands() == [PREPARE, PREPARE, "SELECT"]

    sql(url, UNKNOWN_AT_FIRST)
    run(url, scenario)


def fails_when_executed(scene: Recorded) -> Awaitable[list[Any]]:
    return scene.fetch(queries.CREATE, user_id="alice", title="", description=None)


async def fails_when_prepared(scene: Recorded) -> None:
    await scene.fetch("ALTER TABLE tasks RENAME TO hidden")
    try:
        await scene.fetch(queries.CREATE, user_id="alice", title="Tea", description=None)
    finally:
        await scene.fetch("ALTER TABLE hidden RENAME TO tasks")


@pytest.mark.parametrize(
    ("fails", "error", "sent"),
    [
        (fails_when_executed, errors.CheckViolation, [PREPARE, EXECUTE, EXECUTE]),
        (fails_when_prepared, errors.UndefinedTable, [PREPARE, EXECUTE]),
    ],
)
def test_another_error_is_not_taken_for_a_pooler(
    fails: Callable[[Recorded], Awaitable[Any]],
    error: type[psycopg2.Error],
    sent: list[str],
    url: URL,
) -> None:
    """PREPARE is not undone with the rest of a message that fails."""

    async def scenario(scene: Recorded) -> None:
        with pytest.raises(error):
            await fails(scene)
        scene.commands()
        for _ in range(2):
            await scene.fetch(queries.CREATE, user_id="alice", title="Tea", description=None)
        assert scene.commands() == sent
        assert not scene.is_pooled

    run(url, scenario)


def test_the_deadline_holds_for_all_messages_together(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first waits for a migration, which changes a type; the second for another lock."""
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.8)

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
            await asyncio.sleep(0.5)
            migration.commit()
            with pytest.raises(DatabaseUnavailable):
                await fetching
            assert scene.commands() == [EXECUTE, DEALLOCATE]
            assert 0.7 < loop.time() - began < 1.2
            await locking

    async def change_a_type_in(migration: Any) -> None:
        migration.cursor().execute("ALTER TABLE tasks ALTER title TYPE varchar(201)")
        migration.cursor().execute("ALTER TABLE tasks ALTER title TYPE text")

    sql(url, "ALTER TABLE tasks ALTER title TYPE varchar(200)")
    run(url, scenario)


def test_no_message_is_sent_after_the_deadline(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is busy, and so learns of the error and of the end of the time at once.

    The connection is kept, because nothing is under way on it.
    """

    async def scenario(scene: Recorded) -> None:
        values = a_task(url)
        await scene.fetch(queries.GET, **values)
        await forget(scene)
        pid = await scene.fetch("SELECT pg_backend_pid()")
        with monkeypatch.context() as patch:
            patch.setattr(driver, "STATEMENT_TIMEOUT", 0.1)
            fetching = asyncio.create_task(scene.fetch(queries.GET, **values))
            asyncio.get_running_loop().call_soon(time.sleep, 0.2)  # right after it is sent
            with pytest.raises(DatabaseUnavailable):
                await fetching
        assert await scene.fetch("SELECT pg_backend_pid()") == pid
        assert len(await scene.fetch(queries.GET, **values)) == 1

    run(url, scenario)


def test_a_statement_is_one_span_however_often_it_is_sent(url: URL) -> None:
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


def test_what_is_forgotten_too_often_is_no_longer_prepared(
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


def test_what_is_forgotten_now_and_then_stays_prepared() -> None:
    statements = PreparedStatements()
    names: Names = {}
    for _ in range(3 * prepared.RECOVERIES):
        for _ in range(prepared.RARE):
            statements.message(queries.GET, names)
        statements.recover(queries.GET, errors.InvalidSqlStatementName(), names)
    assert statements.enabled


def test_a_name_is_a_digest_and_so_the_same_in_every_process() -> None:
    """The digest is that of `printf 'AS SELECT 1' | sha256sum`."""
    assert Statement("SELECT 1", {}).name == "task_api_1316dcf86fec90da105aadec"
    assert len(LIST.name) < 64  # Postgres would cut it off


def test_a_name_stands_for_one_text_with_its_types() -> None:
    names = {
        Statement("SELECT %(a)s", {"a": "TEXT"}).name,
        Statement("SELECT %(a)s", {"a": "BIGINT"}).name,
        Statement("SELECT %(a)s, %(b)s", {"a": "TEXT", "b": "TEXT"}).name,
        Statement("SELECT %(a)s, %(a)s", {"a": "TEXT", "b": "TEXT"}).name,
    }
    assert len(names) == 4
    renamed = Statement("SELECT %(b)s", {"a": "BIGINT", "b": "TEXT"}).name
    assert renamed == Statement("SELECT %(a)s", {"a": "TEXT"}).name


TEXTS = [
    *("", "%", "%%", "%s", "%(a)s", "$1", ";", "; DROP TABLE tasks; --", "'", "''", '"', "\\"),
    *("\\'", "E'\\n'", "\n", "🧑‍🧑‍🧒‍🧒", "x" * 100_000, None),
]


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize("enabled", [True, False])
def test_every_value_arrives_as_it_is(url: URL, enabled: bool, conforming: str) -> None:
    types = {"text": "TEXT", "list": "TEXT[]", "flag": "BOOLEAN", "number": "BIGINT"}
    echo = "SELECT %(text)s, %(list)s::text[], %(flag)s, %(number)s, '%%(text)s 100%%'"
    statement = Statement(echo, types)
    plain = Statement("SELECT '%%(none)s 100%%', '$1'", {})

    async def scenario(scene: Recorded) -> None:
        connection = await scene.session.database.pool.acquire()
        for text in TEXTS * 2:
            for flag in (True, False, None):
                values = {"text": text, "list": [text], "flag": flag, "number": 2**63 - 1}
                rows = await connection.fetch(statement, values)
                assert rows == [(text, [text], flag, 2**63 - 1, "%(text)s 100%")]
        [row] = await connection.fetch(statement, {**values, "list": []})
        assert row[1] == []
        for _ in range(2):
            assert await connection.fetch(plain) == [("%(none)s 100%", "$1")]
        scene.session.database.pool.release(connection)
        assert set(scene.commands()) == ({PREPARE, EXECUTE} if enabled else {"SELECT"})

    # As a server may have it, whose connections learn it when they are opened.
    [(name,)] = sql(url, "SELECT current_database()")
    sql(url, f"ALTER DATABASE {name} SET standard_conforming_strings = {conforming}")
    try:
        run(url, scenario, prepared_statements=enabled)
    finally:
        sql(url, f"ALTER DATABASE {name} RESET standard_conforming_strings")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_title_that_is_too_long_is_refused_and_not_cut_off(url: URL, enabled: bool) -> None:
    async def scenario(scene: Recorded) -> None:
        for _ in range(2):
            with pytest.raises((errors.StringDataRightTruncation, errors.CheckViolation)):
                await scene.fetch(queries.CREATE, user_id="a", title="x" * 201, description=None)

    run(url, scenario, prepared_statements=enabled)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_setting_turns_them_on_and_off(url: URL, enabled: bool) -> None:
    sent = "SELECT query FROM pg_stat_activity WHERE datname = %s AND application_name <> 'tests'"
    with service(url, db_prepared_statements=enabled, db_pool_size=1) as client:
        for _ in range(2):
            assert client.get("/api/alice/tasks").status_code == 200
        [(query,)] = [row for row in sql(url, sent, url.database) if "task" in row[0]]
    assert query.startswith(EXECUTE if enabled else "SELECT")


ORDERS = [(sort, order) for sort in ("created", "title") for order in ("asc", "desc")]


@pytest.fixture
def generic(url: URL) -> Iterator[URL]:
    """A database where every plan is generic, with 300 tasks of carol's.

    By default Postgres uses one after five executions, if it is not much worse.
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


def test_the_pages_of_generic_plans_are_the_list(generic: URL) -> None:
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


def test_a_plan_is_generic_where_the_server_says_so(generic: URL) -> None:
    async def scenario(scene: Recorded) -> None:
        await scene.fetch(queries.GET, **a_task(generic))
        used = "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
        assert await scene.fetch(used) == [(1, 0)]

    run(generic, scenario)
