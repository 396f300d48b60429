"""psycopg2 on the event loop: nothing blocks, nothing is mixed up, and no pool wastes away."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
import uvloop
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

import cancelling
import database
import driver
from database import Database, Session
from errors import DatabaseUnavailable
from models import Task
from tests.support import database_of_its_own, sql

Run = Callable[[Awaitable[None]], None]
POOL_SIZE = 4


@pytest.fixture(scope="module")
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each of the loops that the service may meet."""

    def run(work: Awaitable[None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(20):
                await work

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(limited())

    return run


@asynccontextmanager
async def opened(url: URL, pool_size: int = POOL_SIZE) -> AsyncIterator[Session]:
    """A session on a pool of its own, which is whole afterwards."""
    pool = Database(url, pool_size)
    session = pool.session()
    try:
        yield session
        await assert_whole(session, pool_size)
    finally:
        await pool.close()


async def assert_whole(session: Session, pool_size: int) -> None:
    """All connections can be used at once, and each gives the answer to its own question."""
    async with asyncio.TaskGroup() as group:
        for number in range(pool_size * 10):
            group.create_task(expect(session, number))


async def expect(session: Session, number: int) -> None:
    assert await fetch(session, "SELECT %(n)s + 0 * pg_backend_pid()", n=number) == [(number,)]


async def fetch(session: Session, statement: str, **parameters: Any) -> list[Any]:
    return await session.fetch(statement, parameters, retry=False)


async def backend(session: Session) -> int:
    [(pid,)] = await fetch(session, "SELECT pg_backend_pid()")
    assert isinstance(pid, int)
    return pid


async def kill(url: URL, pid: int) -> None:
    await asyncio.to_thread(sql, url, "SELECT pg_terminate_backend(%s, 2000)", pid)


def test_queries_cancelled_at_random_moments_leave_the_pool_whole(run: Run, url: URL) -> None:
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


def test_who_waits_for_the_pool_is_told_in_time(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.POOL_TIMEOUT == 2
    monkeypatch.setattr(database, "POOL_TIMEOUT", 0.3)

    async def work() -> None:
        async with opened(url, 1) as session:
            busy = asyncio.create_task(fetch(session, "SELECT pg_sleep(0.7)"))
            await asyncio.sleep(0.05)
            start = time.perf_counter()
            with pytest.raises(DatabaseUnavailable) as error:
                await fetch(session, "SELECT 1")
            assert isinstance(error.value.__cause__, TimeoutError)
            assert 0.25 < time.perf_counter() - start < 0.8
            await busy

    run(work())


def test_a_backend_killed_while_idle_is_known_dead_before_it_is_used(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            for _ in range(5):
                pid = await backend(session)
                await kill(url, pid)
                assert await backend(session) != pid

    run(work())


def test_a_backend_killed_a_moment_ago_is_known_dead_before_the_loop_can_tell(
    run: Run, url: URL
) -> None:
    """What is sent then is sent once, on another connection, be it a write or not."""

    async def work() -> None:
        async with opened(url, 1) as session:
            for _ in range(5):
                pid = await backend(session)
                sql(
                    url, "SELECT pg_terminate_backend(%s, 2000)", pid
                )  # keeps the loop from running
                assert await backend(session) != pid

    run(work())


def test_a_backend_killed_in_mid_query_is_an_error_and_replaced(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            for _ in range(5):
                pid = await backend(session)
                query = asyncio.create_task(fetch(session, "SELECT pg_sleep(5)"))
                await asyncio.sleep(0.05)
                await kill(url, pid)
                with pytest.raises(DatabaseUnavailable):
                    await query
                assert await backend(session) != pid

    run(work())


def test_the_engine_knows_a_killed_connection_for_what_it_is(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            engine = session.bind
            assert isinstance(engine, AsyncEngine)
            async with engine.connect() as connection:
                pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                query = asyncio.create_task(connection.execute(text("SELECT pg_sleep(5)")))
                await asyncio.sleep(0.05)
                await kill(url, pid)
                with pytest.raises(OperationalError) as error:
                    await query
                assert error.value.connection_invalidated
            async with engine.connect() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1

    run(work())


def test_a_statement_that_does_not_end_is_given_up_with_its_connection(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver.STATEMENT_TIMEOUT == 5
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)

    async def work() -> None:
        async with opened(url, 1) as session:
            connection = await driver.connect(
                host=url.query["host"], user="postgres", dbname=url.database
            )
            start = time.perf_counter()
            with pytest.raises(TimeoutError):
                await connection.fetch("SELECT pg_sleep(0.6)")
            assert 0.15 < time.perf_counter() - start < 0.5
            assert connection.dead
            await driver.last_cancelled()
            assert connection.closed == 1
            pid = await backend(session)
            with pytest.raises(DatabaseUnavailable):
                await fetch(session, "SELECT pg_sleep(0.6)")
            assert await backend(session) != pid

    run(work())


def test_a_statement_that_was_given_up_is_ended_in_the_server(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(31)'"

    async def work() -> None:
        async with opened(url, 2) as session:
            for give_up in (0.1, 1.0):  # by cancellation, and by the time-out
                with pytest.raises((TimeoutError, DatabaseUnavailable)):
                    async with asyncio.timeout(give_up):
                        await fetch(session, "SELECT pg_sleep(31)")
                start = time.perf_counter()
                while await asyncio.to_thread(sql, url, running) != [(0,)]:
                    assert time.perf_counter() - start < 5
                    await asyncio.sleep(0.02)

    run(work())


def test_a_cancel_request_that_nobody_answers_is_given_up(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "CANCEL_TIMEOUT", 0.2)
    monkeypatch.setattr(cancelling._libpq, "PQcancelPoll", lambda _: cancelling.READING)

    async def work() -> None:
        pool = Database(url, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fetch(pool.session(), "SELECT pg_sleep(0.5)")
        start = time.perf_counter()
        await pool.close()
        assert 0.1 < time.perf_counter() - start < 1

    run(work())


def test_a_connection_that_turned_read_only_is_not_used_again(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 2) as session:
            await asyncio.gather(expect(session, 1), expect(session, 2))
            pid = await backend(session)
            await fetch(session, "SET default_transaction_read_only = on")
            with pytest.raises(DatabaseUnavailable):
                await fetch(session, "CREATE TABLE not_here ()")
            assert await backend(session) != pid

    run(work())


def test_what_was_lent_when_all_were_closed_is_closed_when_it_comes_back(
    run: Run, url: URL
) -> None:
    async def work() -> None:
        database = Database(url, 2)
        await database.check()
        lent = await database.pool.acquire()
        database.close_connections()
        assert not lent.closed
        database.pool.release(lent)
        assert lent.closed
        again = await database.pool.acquire()
        database.pool.release(again)
        assert (again.closed, database.pool.idle) == (0, 1)
        await database.check()
        await database.close()
        assert again.closed

    run(work())


def test_a_server_that_does_not_answer_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver.CONNECT_TIMEOUT == 5
    monkeypatch.setattr(driver, "CONNECT_TIMEOUT", 0.2)

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = time.perf_counter()
            with pytest.raises(TimeoutError):
                await driver.connect(host="127.0.0.1", port=silent.getsockname()[1], user="x")
            assert time.perf_counter() - start < 1

    run(work())


def test_a_connection_serves_one_statement_after_another(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            assert len({await backend(session) for _ in range(50)}) == 1

    run(work())


def test_connections_over_the_size_of_the_pool_are_closed_after_use(run: Run, url: URL) -> None:
    async def work() -> None:
        pool = Database(url, 1, max_overflow=2)
        session = pool.session()
        asked = "SELECT pg_backend_pid() FROM pg_sleep(0.1)"
        answers = await asyncio.gather(*(fetch(session, asked) for _ in range(6)))
        assert len({pid for [(pid,)] in answers}) >= 3
        await asyncio.sleep(0.1)
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
        pid = await backend(session)
        assert await asyncio.to_thread(sql, url, count, url.database, pid) == [(1,)]  # the asker
        await pool.close()

    run(work())


def test_an_error_of_a_statement_costs_no_connection(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            pid = await backend(session)
            for wrong in ("SELECT 1/0", "SELECT nothing", "no SQL"):
                with pytest.raises(psycopg2.Error):
                    await fetch(session, wrong)
            assert await backend(session) == pid

    run(work())


def test_the_loop_goes_on_while_the_database_works(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            await expect(session, 1)
            query, ticks = asyncio.create_task(fetch(session, "SELECT pg_sleep(0.5)")), 0
            while not query.done():
                await asyncio.sleep(0.005)
                ticks += 1
            assert ticks > 20

    run(work())


def test_a_large_answer_arrives_whole(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            rows = await fetch(session, "SELECT generate_series(1, 200000)")
            assert [number for (number,) in rows] == list(range(1, 200_001))

    run(work())


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_large_parameters_are_sent(run: Run, url: URL, size: int) -> None:
    async def work() -> None:
        value = "x" * size
        async with opened(url) as session:
            statement = "SELECT length(%(value)s), %(value)s"
            assert await fetch(session, statement, value=value) == [(size, value)]

    run(work())


def test_a_wrong_password_or_database_is_an_error(run: Run, url: URL) -> None:
    async def work() -> None:
        for wrong in (url.set(database="nothing"), url.set(username="nobody-here")):
            pool = Database(wrong, 1)
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await fetch(pool.session(), "SELECT 1")
                with pytest.raises(DatabaseUnavailable):
                    await pool.check()
            await pool.close()

    run(work())


def carols(title: str) -> Task:
    now = datetime.now(UTC)
    return Task(user_id="carol", title=title, created_at=now, updated_at=now)


def test_the_session_of_sqlmodel_works(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as pool, AsyncSession(pool.bind) as session:
            task = carols("Buy milk")
            session.add(task)
            await session.commit()
            await session.refresh(task)
            assert (task.id is not None, task.completed, task.title) == (True, False, "Buy milk")
            found = await session.exec(select(Task).where(Task.user_id == "carol"))
            assert found.all() == [task]
            task.title = "Milk"
            await session.commit()
            assert (await session.exec(select(Task.title))).one() == "Milk"
            await session.delete(task)
            await session.commit()
            assert (await session.exec(select(Task))).all() == []
            session.add(carols(""))
            with pytest.raises(DBAPIError):
                await session.commit()
            await session.rollback()

    run(work())
