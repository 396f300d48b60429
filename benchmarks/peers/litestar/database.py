"""The pool, which lives as long as the application."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from litestar import Litestar


async def keep(_: asyncpg.Connection) -> None:
    """Leaves a connection as it is: no call changes its session, and asyncpg's reset is a query."""


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Opens the pool at the start and closes it at the end."""
    url = os.environ["DATABASE_URL"]
    async with asyncpg.create_pool(url, min_size=10, max_size=10, reset=keep) as pool:
        app.state.pool = pool
        yield
