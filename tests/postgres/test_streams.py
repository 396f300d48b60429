"""`session.stream` and `stream_scalars` read a result in parts, with a cursor in the server."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from models import Task
from tests.postgres.sessions import Run, opened
from tests.support.services import sql

MANY = """
INSERT INTO tasks (user_id, title) SELECT 'dave', '100%' || number
FROM generate_series(1, 2500) AS number
"""
OPEN_CURSORS = text("SELECT count(*) FROM pg_cursors")


def test_a_stream_yields_every_row_in_order(run: Run, url: URL) -> None:
    own = col(Task.user_id) == "dave"

    async def work() -> None:
        async with opened(url) as session, session:
            tasks = await session.stream_scalars(select(Task).where(own).order_by(col(Task.id)))
            titles = [task.title async for task in tasks]
            assert titles == [f"100%{number}" for number in range(1, 2501)]
            rows = await session.stream(select(Task.title).where(own).order_by(col(Task.id)))
            assert [title for (title,) in await rows.all()] == titles

    sql(url, "DELETE FROM tasks WHERE user_id = 'dave'")
    sql(url, MANY)
    run(work())


def test_streams_read_only_what_is_needed_and_end_with_the_transaction(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session, session:
            streams: list[Any] = [
                await session.stream_scalars(text(f"SELECT * FROM generate_series({first}, 10)"))
                for first in (1, 5)
            ]
            for expected in ([1, 5], [2, 6]):
                assert [await anext(aiter(stream)) for stream in streams] == expected
            assert await session.scalar(OPEN_CURSORS) == 2
            await session.commit()
            assert await session.scalar(OPEN_CURSORS) == 0

    run(work())


def test_a_stream_may_be_empty_or_refused(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session, session:
            nothing = await session.stream(text("SELECT 1 WHERE false"))
            assert await nothing.all() == []
            with pytest.raises(DBAPIError, match="division by zero"):
                await session.stream(text("SELECT 1 / 0"))
            await session.rollback()
            assert await session.scalar(text("SELECT 1")) == 1

    run(work())
