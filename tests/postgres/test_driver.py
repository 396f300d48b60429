"""psycopg2 on the event loop: nothing blocks, and every statement gets its own result."""

import asyncio
import socket
import time
import weakref

import psycopg2
import pytest
from sqlalchemy.engine import URL

from database import Database
from errors import DatabaseUnavailable
from postgres import cancellation, driver
from postgres.async_connection import FEW_ROWS
from postgres.dialect import libpq_parameters
from postgres.libpq import libpq
from tests.postgres.sessions import Run, backend, expect, fetch, kill, opened
from tests.support.services import sql


def test_a_backend_killed_while_idle_is_detected_before_it_is_used(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            for _ in range(5):
                pid = await backend(session)
                await kill(url, pid)
                assert await backend(session) != pid

    run(work())


def test_a_backend_killed_a_moment_ago_is_detected_before_the_loop_reports_it(
    run: Run, url: URL
) -> None:
    """The statement, read or write, is sent only once, on another connection."""

    async def work() -> None:
        async with opened(url, 1) as session:
            for _ in range(5):
                pid = await backend(session)
                sql(
                    url, "SELECT pg_terminate_backend(%s, 2000)", pid
                )  # blocks the loop, so that it can't report the end
                assert await backend(session) != pid

    run(work())


def test_a_backend_killed_during_a_statement_is_an_error_and_is_replaced(
    run: Run, url: URL
) -> None:
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


def test_a_statement_that_times_out_closes_its_connection(
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
                await connection.fetch("SELECT pg_sleep(20)")
            assert 0.15 < time.perf_counter() - start < 4  # and not the 5 seconds above
            assert connection.dead
            await cancellation.wait_for_cancellations()
            assert connection.closed == 1
            pid = await backend(session)
            with pytest.raises(DatabaseUnavailable):
                await fetch(session, "SELECT pg_sleep(20)")
            assert await backend(session) != pid

    run(work())


def test_an_abandoned_statement_is_cancelled_in_the_server(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(31)'"

    async def work() -> None:
        async with opened(url, 2) as session:
            for give_up in (0.1, 1.0):  # by cancellation, and by the timeout
                with pytest.raises((TimeoutError, DatabaseUnavailable)):
                    async with asyncio.timeout(give_up):
                        await fetch(session, "SELECT pg_sleep(31)")
                start = time.perf_counter()
                while await asyncio.to_thread(sql, url, running) != [(0,)]:
                    assert time.perf_counter() - start < 5
                    await asyncio.sleep(0.02)

    run(work())


def test_a_cancel_request_without_a_response_is_abandoned(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cancellation.CANCEL_TIMEOUT == 1
    monkeypatch.setattr(cancellation, "CANCEL_TIMEOUT", 1.5)
    monkeypatch.setattr(libpq, "PQcancelPoll", lambda _: cancellation.READING)

    async def work() -> None:
        pool = Database(url, 1)
        start = time.perf_counter()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fetch(pool.session(), "SELECT pg_sleep(0.5)")
        await pool.close()
        assert 1.4 < time.perf_counter() - start < 5

    run(work())


def test_connecting_to_a_silent_server_times_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver.CONNECT_TIMEOUT == 5
    monkeypatch.setattr(driver, "CONNECT_TIMEOUT", 0.2)

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = time.perf_counter()
            with pytest.raises(TimeoutError):
                await driver.connect(host="127.0.0.1", port=silent.getsockname()[1], user="x")
            assert time.perf_counter() - start < 4  # and not the 5 seconds above

    run(work())


def test_a_connection_survives_the_error_of_a_statement(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as session:
            pid = await backend(session)
            for wrong in ("SELECT 1/0", "SELECT nothing", "no SQL"):
                with pytest.raises(psycopg2.Error):
                    await fetch(session, wrong)
            assert await backend(session) == pid

    run(work())


def test_the_event_loop_runs_while_a_statement_runs(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            await expect(session, 1)
            query, ticks = asyncio.create_task(fetch(session, "SELECT pg_sleep(0.5)")), 0
            while not query.done():
                await asyncio.sleep(0.005)
                ticks += 1
            assert ticks > 20

    run(work())


def test_a_large_result_arrives_whole(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            rows = await fetch(session, "SELECT generate_series(1, 200000)")
            assert [number for (number,) in rows] == list(range(1, 200_001))

    run(work())


def test_a_connection_does_not_keep_a_response_of_many_rows(run: Run, url: URL) -> None:
    async def work() -> None:
        connection = await driver.connect(**libpq_parameters(url))
        for rows in (FEW_ROWS, FEW_ROWS + 1):
            response = weakref.ref(connection._cursor)
            query = f"SELECT n::text FROM generate_series(1, {rows}) AS n"
            assert len(await connection.fetch(query)) == rows
            assert (response() is None) == (rows > FEW_ROWS)
        connection.close()

    run(work())


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_large_parameters_arrive_whole(run: Run, url: URL, size: int) -> None:
    async def work() -> None:
        value = "x" * size
        async with opened(url) as session:
            statement = "SELECT length(%(value)s), %(value)s"
            assert await fetch(session, statement, value=value) == [(size, value)]

    run(work())


def test_a_wrong_role_or_database_is_an_error(run: Run, url: URL) -> None:
    async def work() -> None:
        for wrong in (url.set(database="nothing"), url.set(username="nobody-here")):
            pool = Database(wrong, 1)
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await fetch(pool.session(), "SELECT 1")
                with pytest.raises(DatabaseUnavailable):
                    await pool.condition.check()
            await pool.close()

    run(work())


def test_an_event_loop_does_not_wait_for_the_cancellations_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = asyncio.new_event_loop()
    left = other.create_task(asyncio.sleep(0))
    monkeypatch.setattr(cancellation, "_cancellations", {left})
    asyncio.run(cancellation.wait_for_cancellations())
    other.run_until_complete(left)
    other.close()
