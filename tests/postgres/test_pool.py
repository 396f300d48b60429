"""The pool: it is whole after whatever happened, and lends nothing that is of no use."""

import asyncio
import random
import time

import pytest
from sqlalchemy.engine import URL

import database
from database import Database, Session
from errors import DatabaseUnavailable
from tests.postgres.sessions import Run, backend, expect, fetch, opened
from tests.support.services import sql


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


def test_a_wait_for_the_pool_ends_in_time(
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
