"""A session on its own pool, and helpers to use it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.engine import URL

from database import Database, Session
from tests.support.services import sql

Run = Callable[[Awaitable[None]], None]
POOL_SIZE = 4


@asynccontextmanager
async def opened(url: URL, pool_size: int = POOL_SIZE) -> AsyncIterator[Session]:
    """Yield a session on its own pool, and check afterwards that the pool is intact."""
    pool = Database(url, pool_size)
    session = pool.session()
    try:
        yield session
        await assert_whole(session, pool_size)
    finally:
        await pool.close()


async def assert_whole(session: Session, pool_size: int) -> None:
    """Assert that all connections work at once, and that each statement gets its own result."""
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
