"""The same faults behind PgBouncer in transaction mode, which keeps no session state."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from database import Database
from postgres.dialect import libpq_parameters
from tests.faults.conftest import Serve
from tests.faults.load import SLOWEST, freeze, load
from tests.faults.pgbouncer import SERVERS, pgbouncer
from tests.faults.servers import KILL_ALL, Postgres
from tests.support.processes import until
from tests.support.services import locked_tasks, sql

Settle = Callable[..., dict[str, Any]]

POOL = min(SERVERS, 10 + 20)  # connections to Postgres that the service can keep busy
IN_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
AND backend_type = 'client backend'
"""
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name <> 'tests' AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
def pooled(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    with pgbouncer(database, tmp_path_factory.mktemp("pgbouncer") / "log") as url:
        yield url


def test_every_connection_behind_pgbouncer_is_killed(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    killed = 0
    with serve(pooled) as service, load(service.starts().port) as users:
        for _ in range(6):
            time.sleep(0.5)
            [(count,)] = database.sql(KILL_ALL)
            killed += int(str(count))
        time.sleep(2)
        users.stop()
        assert service.stops() == 0
    assert killed > POOL
    done = "every server connection is killed, six times"
    settle(done, users.ledger, killed=killed)


def test_a_locked_table_behind_pgbouncer(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    """Statements end in time, in Postgres too, because PgBouncer forwards cancel requests."""
    with serve(pooled) as service, load(service.starts().port) as users:
        time.sleep(1)
        with locked_tasks(database.url):
            until(
                lambda: database.sql(WAITING) == [(POOL,)],
                "all connections to wait for the lock",
                5,
            )
            users.stop()  # the waiting requests get a response, and no others come
            until(lambda: database.sql(WAITING) == [(0,)], "the statements to end", 3)
        with load(service.port) as later:
            time.sleep(1)
        assert service.stops() == 0
    assert users.ledger.slowest < SLOWEST
    assert later.ledger.answers[503] == 0
    settle(
        "the table is locked until all statements have timed out",
        users.ledger,
        statements_left_waiting=0,
    )


def test_a_frozen_server_behind_pgbouncer(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    """PgBouncer still accepts connections and statements, but sends no response."""
    with serve(pooled) as service, load(service.starts().port) as users:
        time.sleep(1)
        seen = freeze(database.folder, users)
        assert service.stops() == 0
    settle("Postgres is frozen for 7 s (SIGSTOP)", users.ledger, **seen)


def test_transactions_behind_pgbouncer(database: Postgres, pooled: URL) -> None:
    """Each transaction stays on one server connection, and none is left open."""
    database.sql("CREATE TABLE notes (number int)")
    insert = text("INSERT INTO notes VALUES (:number)")

    async def transaction(engine: AsyncEngine, number: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(insert, {"number": number})
            await asyncio.sleep(0.001)
            await connection.execute(insert, {"number": number})
            if number % 3 == 1:
                raise KeyError
            if number % 3 == 2:
                await connection.execute(text("SELECT pg_sleep(30)"))

    async def work() -> None:
        service = Database(pooled, 2 * SERVERS)
        tasks = [asyncio.create_task(transaction(service.engine, number)) for number in range(30)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert service.pool.in_use == 0
        await service.close()

    asyncio.run(work())
    found = database.sql("SELECT number, count(*) FROM notes GROUP BY 1 ORDER BY 1")
    assert found == [(number, 2) for number in range(0, 30, 3)]
    until(lambda: database.sql(IN_TRANSACTION) == [(0,)], "the transactions to end", 3)


def test_titles_stay_utf_8_behind_pgbouncer_with_any_client_encoding(
    serve: Serve, database: Postgres, pooled: URL
) -> None:
    """PgBouncer tracks client_encoding, and other clients of its server connections change it."""
    title = "日本 🦆"
    database.sql("ALTER ROLE postgres SET client_encoding = LATIN1")
    try:
        with (
            serve(pooled, pgclientencoding="LATIN1") as service,
            closing(
                psycopg2.connect(**libpq_parameters(pooled), client_encoding="LATIN1")
            ) as other,
            service.starts().client("encoded") as client,
        ):
            until(lambda: client.get("/health").status_code == 200, "the database")
            for count in range(1, 30):
                with other, other.cursor() as cursor:
                    cursor.execute("SHOW client_encoding")
                    assert cursor.fetchone() == ("LATIN1",)
                assert client.post("/api/encoded/tasks", json={"title": title}).status_code == 201
                tasks = client.get("/api/encoded/tasks").json()["tasks"]
                assert [task["title"] for task in tasks] == [title] * count
            assert service.stops() == 0
    finally:
        database.sql("ALTER ROLE postgres RESET client_encoding")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_no_concurrent_toggle_is_lost_behind_pgbouncer_at_strict_isolation(
    isolation: str, serve: Serve, database: Postgres, pooled: URL
) -> None:
    """Postgres aborts a statement that meets a concurrent change (40001); it is sent again."""
    database.sql(f"ALTER ROLE postgres SET default_transaction_isolation = '{isolation}'")
    database.sql(KILL_ALL)  # PgBouncer's connections are older than the setting
    try:
        with (
            serve(pooled) as service,
            service.starts().client("strict") as client,
            ThreadPoolExecutor(20) as threads,
        ):
            until(lambda: client.get("/health").status_code == 200, "the database")
            path = "/api/strict/tasks"
            task = client.post(path, json={"title": "Tea"}).json()
            toggle = f"{path}/{task['id']}/complete"
            assert sql(pooled, "SHOW default_transaction_isolation") == [(isolation,)]
            for count in (41, 100):
                before = client.get(f"{path}/{task['id']}").json()["completed"]
                calls = [threads.submit(client.patch, toggle) for _ in range(count)]
                assert {call.result().status_code for call in calls} == {200}
                after = client.get(f"{path}/{task['id']}").json()["completed"]
                assert after is (before ^ bool(count % 2))
            assert service.stops() == 0
    finally:
        database.sql("ALTER ROLE postgres RESET default_transaction_isolation")
        database.sql(KILL_ALL)
