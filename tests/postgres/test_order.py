"""A connection is passed on as soon as its rows arrive, before their request continues."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from database import Database
from postgres.async_connection import Row
from postgres.driver import Connection
from postgres.prepared import Statement
from routing.admission import Admission, Slot
from tests.postgres.sessions import Run, fetch, opened

SLOWLY = "SELECT %(n)s::int FROM pg_sleep(0.05)"


async def only_connection(database: Database) -> Connection:
    """Return the connection of a pool of one, which stays in the pool."""
    connection = await database.pool.acquire()
    database.pool.release(connection)
    return connection


def test_the_next_statement_is_sent_before_the_request_continues(run: Run, url: URL) -> None:
    """Postgres would otherwise wait until the request has made and sent its response."""

    async def work() -> None:
        async with opened(url, 1) as session:
            connection = await only_connection(session.database)
            was_busy: list[bool] = []

            async def first() -> list[Any]:
                rows = await session.fetch(SLOWLY, {"n": 1}, retry=False, last=True)
                was_busy.append(connection.busy)
                return rows

            one, two = await asyncio.gather(first(), fetch(session, SLOWLY, n=2))
            assert (one, two) == ([(1,)], [(2,)])
            assert was_busy == [True]

    run(work())


def test_all_the_next_statements_are_sent_before_any_request_continues(run: Run, url: URL) -> None:
    """The code that sends then stays in the processor's caches, and Postgres is busy earlier."""

    async def work() -> None:
        async with opened(url, 2) as session:
            pool = session.database.pool
            connections = [await pool.acquire() for _ in range(2)]
            for connection in connections:
                pool.release(connection)
            busy: list[int] = []

            async def first() -> None:
                await session.fetch(SLOWLY, {"n": 1}, retry=False, last=True)
                busy.append(sum(connection.busy for connection in connections))

            requests = [first(), first(), *(fetch(session, SLOWLY, n=2) for _ in range(2))]
            # Meanwhile, both responses arrive, so that the loop finds them in the same turn.
            asyncio.get_running_loop().call_later(0.02, time.sleep, 0.2)
            await asyncio.gather(*requests)
            assert busy == [2, 2]

    run(work())


def test_a_request_cancelled_as_its_rows_arrive_leaves_the_connection_open(
    run: Run, url: URL
) -> None:
    """By then, another request may be using the connection."""

    async def work() -> None:
        async with opened(url, 1) as session:
            connection = await only_connection(session.database)
            received: list[list[Row]] = []
            errors: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))

            def cancel(rows: list[Row]) -> None:
                received.append(rows)
                asyncio.get_running_loop().call_soon(request.cancel)

            request = asyncio.create_task(connection.fetch(SLOWLY, {"n": 1}, on_rows=cancel))
            with pytest.raises(asyncio.CancelledError):
                await request
            await asyncio.sleep(0)
            assert (received, errors) == ([[(1,)]], [])
            assert connection.is_alive()

    run(work())


def test_a_statement_counts_as_prepared_before_the_next_one_is_sent(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            same = Statement("SELECT %(n)s + 0", {"n": "int"})
            fetches = (session.fetch(same, {"n": n}, retry=False, last=True) for n in range(5))
            assert await asyncio.gather(*fetches) == [[(n,)] for n in range(5)]
            assert session.database.statements.recoveries == 0

    run(work())


def test_a_failed_statement_does_not_take_the_rows_of_the_next_one(run: Run, url: URL) -> None:
    """SQLAlchemy uses the same connections, and reads the rows itself."""

    async def work() -> None:
        async with opened(url, 1) as session:
            connection = await only_connection(session.database)
            received: list[list[Row]] = []
            with pytest.raises(Exception, match="division by zero"):
                await connection.fetch("SELECT 1 / 0", on_rows=received.append)
            async with session.database.engine.connect() as sqlalchemy:
                assert (await sqlalchemy.execute(text("SELECT 7"))).scalar_one() == 7
            assert received == []

    run(work())


def test_a_request_cancelled_between_two_messages_does_not_release_its_connection_twice(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be cancelled while it waits to repeat a statement that a deadlock rolled back."""

    async def work() -> None:
        async with opened(url, 1) as session:
            connection = await only_connection(session.database)
            released: list[list[Row]] = []

            async def wait(*_: object) -> list[Row]:
                await asyncio.sleep(9)
                return []

            with monkeypatch.context() as patch:
                patch.setattr(connection, "execute", wait)
                request = asyncio.create_task(connection.fetch("", on_rows=released.append))
                await asyncio.sleep(0)
                request.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await request
            async with session.database.engine.connect() as sqlalchemy:
                assert (await sqlalchemy.execute(text("SELECT 7"))).scalar_one() == 7
            assert released == []

    run(work())


@pytest.mark.parametrize(
    ("rows", "last", "is_released"), [(1, True, True), (0, True, False), (1, False, False)]
)
def test_the_last_statement_of_a_request_releases_its_slot(
    rows: int, last: bool, is_released: bool, run: Run, url: URL
) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            admission = Admission(1, 10)
            assert admission.acquire_free("alice")
            slot = Slot(admission, "alice")
            request = session.database.session(release_slot=slot.release)
            found = await request.fetch(f"SELECT 1 LIMIT {rows}", {}, retry=True, last=last)
            assert len(found) == rows
            assert admission.acquire_free("bob") is is_released

    run(work())


def test_a_slot_is_released_once() -> None:
    admission = Admission(2, 10)
    slots = [Slot(admission, "alice") for _ in range(2) if admission.acquire_free("alice")]
    slots[0].release()
    slots[0].release()
    assert admission.acquire_free("bob")
    assert not admission.acquire_free("carol")
