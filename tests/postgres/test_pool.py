"""The pool stays intact through failures, and never hands out a broken connection."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import psycopg2
import pytest
from sqlalchemy.engine import URL

import database
from database import Database, Session
from errors import DatabaseUnavailable
from postgres import connector, driver, pool
from tests.postgres.sessions import Run, backend, expect, fetch, opened
from tests.support.services import eventually, sql


def test_statements_cancelled_at_random_leave_the_pool_intact(run: Run, url: URL) -> None:
    async def work() -> None:
        chance = random.Random(1)
        async with opened(url) as session:
            for _ in range(20):
                queries = [asyncio.create_task(slow(session, number)) for number in range(20)]
                for query in queries:
                    await asyncio.sleep(chance.random() * 0.002)
                    query.cancel()
                await asyncio.gather(*queries, return_exceptions=True)
                await expect(session, 7)

    async def slow(session: Session, number: int) -> None:
        [(answer,)] = await fetch(session, "SELECT %(n)s FROM pg_sleep(0.003)", n=number)
        assert answer == number

    run(work())


def test_a_cancelled_connection_is_not_used_again(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            pid = await backend(session)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await fetch(session, "SELECT pg_sleep(0.5)")
            assert await backend(session) != pid

    run(work())


def test_waiting_for_a_connection_times_out(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.POOL_TIMEOUT == 2
    monkeypatch.setattr(database, "POOL_TIMEOUT", 0.3)

    async def work() -> None:
        async with opened(url, 1) as session:
            busy = await session.database.pool.acquire()
            start = time.perf_counter()
            with pytest.raises(DatabaseUnavailable) as error:
                await fetch(session, "SELECT 1")
            assert isinstance(error.value.__cause__, TimeoutError)
            assert 0.25 < time.perf_counter() - start < 2
            session.database.pool.release(busy)

    run(work())


def test_a_connection_that_became_read_only_is_not_used_again(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 2) as session:
            await asyncio.gather(expect(session, 1), expect(session, 2))
            pid = await backend(session)
            await fetch(session, "SET default_transaction_read_only = on")
            with pytest.raises(DatabaseUnavailable):
                await fetch(session, "CREATE TABLE not_here ()")
            assert await backend(session) != pid

    run(work())


@pytest.mark.parametrize(
    "statement",
    ["BEGIN", "BEGIN; SELECT 1 / 0", "COPY (SELECT 1) TO STDOUT", "COPY tasks FROM STDIN"],
)
def test_a_connection_in_a_transaction_or_a_copy_is_not_used_again(
    statement: str, run: Run, url: URL
) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            pid = await backend(session)
            with suppress(psycopg2.Error):
                await fetch(session, statement)
            assert await backend(session) != pid
            await fetch(session, "CREATE TABLE kept ()")
            await asyncio.to_thread(sql, url, "DROP TABLE kept")

    run(work())


def test_a_connection_lent_during_a_close_is_closed_when_it_returns(run: Run, url: URL) -> None:
    async def work() -> None:
        database = Database(url, 2)
        await database.condition.check()
        lent = await database.pool.acquire()
        database.close_connections()
        assert not lent.closed
        database.pool.release(lent)
        assert lent.closed
        again = await database.pool.acquire()
        database.pool.release(again)
        assert (again.closed, database.pool.idle) == (0, 1)
        await database.condition.check()
        await database.close()
        assert again.closed

    run(work())


def test_a_connection_is_reused(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            assert len({await backend(session) for _ in range(50)}) == 1

    run(work())


class Counted(driver.Connection):
    """A connection that records itself once it is open, and counts concurrent attempts."""

    opened: ClassVar[list["Counted"]] = []
    opening = 0
    most_opening = 0

    async def open(self) -> None:
        Counted.opening += 1
        Counted.most_opening = max(Counted.most_opening, Counted.opening)
        try:
            await super().open()
        finally:
            Counted.opening -= 1
        Counted.opened.append(self)


@pytest.fixture
def counted() -> type[Counted]:
    Counted.opened = []
    Counted.opening = Counted.most_opening = 0
    return Counted


@asynccontextmanager
async def counting(
    url: URL, counted: type[Counted], size: int, overflow: int
) -> AsyncIterator[Database]:
    """Yield a database whose connections are of the class `counted`."""
    database = Database(url, size, overflow)
    database.connection_class = counted
    try:
        yield database
    finally:
        await database.close()


async def ask(database: Database, times: int, at_once: int) -> None:
    """Send `times` statements from `at_once` clients."""
    session, numbers = database.session(), iter(range(times))

    async def client() -> None:
        for number in numbers:
            await expect(session, number)

    await asyncio.gather(*(client() for _ in range(at_once)))


def test_connections_stay_open_while_they_are_in_use(
    run: Run, url: URL, counted: type[Counted]
) -> None:
    async def work() -> None:
        async with counting(url, counted, 10, 20) as database:
            await ask(database, 1000, 25)
            assert 10 < len(counted.opened) <= 30
            assert counted.most_opening <= connector.MAX_CONNECTING
            assert not any(connection.closed for connection in counted.opened)
            assert database.pool.idle == len(counted.opened)
            assert database.pool.in_use == 0

    run(work())


def end_period(database: Database, began: float) -> None:
    """Trim the pool now. Check that its timer, which was set after `began`, runs for 30 seconds."""
    timer, now = database.pool._trimmer, asyncio.get_running_loop().time()
    assert timer is not None
    rounding = 0.001  # of the event loop's clock
    assert began - rounding <= timer.when() - 30 <= now + rounding
    timer.cancel()
    database.pool._trim()


def test_surplus_connections_close_after_one_to_two_idle_periods(
    run: Run, url: URL, counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last period ends by itself: a busy machine may need any time for the statements."""
    assert pool.IDLE_PERIOD == 30

    async def work() -> None:
        async with counting(url, counted, 2, 6) as database:
            clock = asyncio.get_running_loop().time
            began = clock()
            used = [await database.pool.acquire() for _ in range(8)]
            for connection in used:
                database.pool.release(connection)
            end_period(database, began)
            assert database.pool.idle == 8
            await ask(database, 4, 4)  # which needs four of the eight
            end_period(database, began)
            assert database.pool.idle == 4
            await ask(database, 4, 4)
            monkeypatch.setattr(pool, "IDLE_PERIOD", 0.05)  # of the timer that is set now
            end_period(database, began)
            assert database.pool.idle == 4
            await asyncio.to_thread(eventually, lambda: database.pool.idle == 2)
            assert sum(not connection.closed for connection in counted.opened) == 2
            opened = len(counted.opened)
            await ask(database, 20, 2)
            assert len(counted.opened) == opened

    run(work())


def test_a_waiting_request_gets_a_returned_connection_before_a_new_one(
    run: Run, url: URL, counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_, may_open = driver.Connection.open, asyncio.Event()

    async def open_late(self: driver.Connection) -> None:
        await may_open.wait()
        await open_(self)

    async def work() -> None:
        async with counting(url, counted, 1, 2) as database:
            lent = await database.pool.acquire()
            monkeypatch.setattr(driver.Connection, "open", open_late)
            waiting = [asyncio.create_task(database.pool.acquire()) for _ in range(2)]
            await asyncio.sleep(0.02)
            database.pool.release(lent)
            assert await waiting[0] is lent
            assert not waiting[1].done()
            may_open.set()
            opened = await waiting[1]
            assert opened is not lent
            for connection in (lent, opened):
                database.pool.release(connection)

    run(work())


def test_a_request_cancelled_as_it_gets_a_connection_does_not_lose_it(run: Run, url: URL) -> None:
    async def work() -> None:
        database = Database(url, 1)
        lent = await database.pool.acquire()
        waiting = asyncio.create_task(database.pool.acquire())
        await asyncio.sleep(0.01)
        database.pool.release(lent)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (database.pool.in_use, database.pool.idle) == (0, 1)
        lent = await database.pool.acquire()
        waiting = asyncio.create_task(database.pool.acquire())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not database.pool._waiters
        database.pool.release(lent)
        await database.close()

    run(work())


def test_a_connection_that_dies_before_a_waiting_request_gets_it_is_replaced(
    run: Run, url: URL
) -> None:
    async def work() -> None:
        database = Database(url, 1)
        lent = await database.pool.acquire()
        [(pid,)] = await lent.fetch("SELECT pg_backend_pid()")
        waiting = asyncio.create_task(database.pool.acquire())
        await asyncio.sleep(0.01)
        sql(url, "SELECT pg_terminate_backend(%s, 2000)", pid)  # this call blocks the event loop
        database.pool.release(lent)
        replaced = await waiting
        assert (replaced is not lent, replaced.is_alive(), lent.closed) == (True, True, 1)
        database.pool.release(replaced)
        await database.close()

    run(work())


def test_data_for_a_connection_attempt_that_was_just_cancelled_is_harmless(
    run: Run, url: URL, counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop may report the data before the task of the attempt ends."""
    opening: asyncio.Queue[driver.Connection] = asyncio.Queue()
    open_ = driver.Connection.open

    async def watched(self: driver.Connection) -> None:
        opening.put_nowait(self)
        await open_(self)

    monkeypatch.setattr(driver.Connection, "open", watched)

    async def work() -> None:
        async with counting(url, counted, 1, 0) as database:
            attempt = asyncio.create_task(database._connect())
            connection = await opening.get()  # it has just begun to wait
            attempt.cancel()
            connection._readable()
            await asyncio.wait([attempt])
            assert attempt.cancelled()

    run(work())


def test_warming_up_opens_as_many_connections_as_the_pool_keeps(
    run: Run, url: URL, counted: type[Counted]
) -> None:
    async def work() -> None:
        async with counting(url, counted, 6, 4) as database:
            await database.warm_up()
            await asyncio.to_thread(eventually, lambda: database.pool.idle == 6)
            await ask(database, 60, 6)
            assert len(counted.opened) == 6
            assert counted.most_opening <= connector.MAX_CONNECTING

    run(work())


def test_a_pool_that_cannot_warm_up_logs_the_reason_once(
    run: Run, url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        database = Database(url.set(database="absent"), 6)
        await database.warm_up()
        await asyncio.sleep(0.3)
        said = [text for text in caplog.messages if text.startswith("The database can't be used")]
        assert [text.partition(": ")[0] for text in said] == [
            "The database can't be used (no such database)"
        ]
        await database.close()

    run(work())
