"""Results that a session reads from the server in parts."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from models import Task
from postgres import cursors
from postgres.async_connection import Row
from tests.postgres.sessions import Run, opened
from tests.support.services import sql

NUMBERS = text("SELECT generate_series(1, 2500)")
FAILS_LATE = text("SELECT 12 / (7 - i) FROM generate_series(1, 20) AS i")

Work = Callable[[AsyncSession], Awaitable[None]]


@pytest.fixture
def with_session(run: Run, url: URL) -> Callable[[Work], None]:
    """A function that runs a coroutine with an ordinary session, and checks the pool afterwards."""

    def with_session(work: Work) -> None:
        async def whole() -> None:
            async with opened(url) as pool, AsyncSession(pool.bind) as session:
                await work(session)

        run(whole())

    return with_session


def test_a_stream_has_every_row_in_order(with_session: Callable[[Work], None]) -> None:
    async def work(session: AsyncSession) -> None:
        numbers = list(range(1, 2501))
        rows = await session.stream(NUMBERS)
        assert [number async for (number,) in rows] == numbers
        assert await (await session.stream_scalars(NUMBERS)).all() == numbers
        partitions = (await session.stream_scalars(NUMBERS)).partitions(600)
        assert [len(part) async for part in partitions] == [600, 600, 600, 600, 100]
        one = await session.stream_scalars(text("SELECT 'a%' LIKE :text"), {"text": "a%"})
        assert await one.one() is True
        assert await (await session.stream(text("SELECT WHERE false"))).all() == []

    with_session(work)


def test_several_streams_of_a_session_can_be_read_in_turn(
    with_session: Callable[[Work], None],
) -> None:
    async def work(session: AsyncSession) -> None:
        first, second = [await session.stream_scalars(NUMBERS) for _ in range(2)]
        for number in range(1, 100):
            assert (await anext(first), await anext(second)) == (number, number)
        await first.close()
        assert len(await second.all()) == 2401

    with_session(work)


def test_the_rows_of_a_stream_are_computed_only_when_they_are_read(
    with_session: Callable[[Work], None],
) -> None:
    async def work(session: AsyncSession) -> None:
        rows = await session.stream_scalars(FAILS_LATE)
        parts = rows.partitions(3)
        assert [await anext(parts), await anext(parts)] == [[2, 2, 3], [4, 6, 12]]
        with pytest.raises(DataError):
            await anext(parts)
        await session.rollback()
        assert await session.scalar(text("SELECT 1")) == 1

    with_session(work)


def test_a_connection_of_the_engine_streams(
    with_session: Callable[[Work], None],
) -> None:
    async def work(session: AsyncSession) -> None:
        engine = session.bind
        assert isinstance(engine, AsyncEngine)
        async with engine.connect() as connection, connection.stream(NUMBERS) as rows:
            assert await rows.fetchmany(2) == [(1,), (2,)]

    with_session(work)


def test_exec_with_yield_per_returns_every_row(
    with_session: Callable[[Work], None], url: URL
) -> None:
    sql(url, "INSERT INTO tasks (user_id, title) SELECT 'carol', i FROM generate_series(1, 50) i")

    async def work(session: AsyncSession) -> None:
        rows = await session.exec(select(Task).execution_options(yield_per=7))
        assert len(rows.all()) == 50

    with_session(work)
    sql(url, "DELETE FROM tasks")


TO_LAST = text("SELECT n, '100%' FROM generate_series(1, :last) AS n")
OPEN_CURSORS = text("SELECT count(*) FROM pg_cursors")


def test_rows_are_streamed_in_parts(run: Run, url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[str] = []
    fetched = cursors.ServerCursor._fetched

    def recorded(self: cursors.ServerCursor, count: str) -> list[Row]:
        parts.append(count)
        return fetched(self, count)

    async def work() -> None:
        async with opened(url) as pool, AsyncSession(pool.bind) as session:
            monkeypatch.setattr(cursors.ServerCursor, "_fetched", recorded)
            result = await session.stream(
                TO_LAST, {"last": 25}, execution_options={"max_row_buffer": 10}
            )
            assert [tuple(row) async for row in result] == [(n, "100%") for n in range(1, 26)]
            assert parts == ["1", "5", "10", "10", "10"]
            scalars = await session.stream_scalars(
                TO_LAST, {"last": 7}, execution_options={"yield_per": 3}
            )
            assert [part async for part in scalars.partitions(3)] == [[1, 2, 3], [4, 5, 6], [7]]
            rest = await session.stream(TO_LAST, {"last": 9})
            assert len(await rest.all()) == 9

    run(work())


def test_a_stream_that_is_not_read_to_its_end_ends_with_its_transaction(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url, 1) as pool, AsyncSession(pool.bind) as session:
            result = await session.stream(TO_LAST, {"last": 1000})
            assert tuple(await anext(result)) == (1, "100%")
            assert await session.scalar(OPEN_CURSORS) == 1
            await session.commit()
            assert await session.scalar(OPEN_CURSORS) == 0
            await session.stream(TO_LAST, {"last": 1000})
            await session.close()
            assert pool.database.pool.in_use == 0

    run(work())


@pytest.mark.parametrize("end", [AsyncSession.commit, AsyncSession.rollback])
def test_a_stream_that_is_read_after_its_transaction_disturbs_nobody(
    run: Run, url: URL, end: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    async def work() -> None:
        async with opened(url, 1) as pool, AsyncSession(pool.bind) as session:
            rows = await session.stream(NUMBERS)
            assert tuple(await anext(rows)) == (1,)
            await end(session)
            async with AsyncSession(pool.bind) as other:
                assert await other.scalar(text("SELECT 1")) == 1
                with pytest.raises(ProgrammingError, match="a stream ends with its transaction"):
                    await rows.all()
                assert await other.scalar(text("SELECT 2")) == 2

    run(work())


def test_a_stream_that_was_read_to_its_end_keeps_nothing_in_the_server(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as pool, AsyncSession(pool.bind) as session:
            assert len(await (await session.stream(NUMBERS)).all()) == 2500
            assert [row async for row in await session.stream(TO_LAST, {"last": 7})][6][0] == 7
            assert [row async for row in await session.stream(TO_LAST, {"last": 0})] == []
            assert await session.scalar(OPEN_CURSORS) == 0

    run(work())
