"""The pool, which lives as long as the application."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from fastapi import Depends, FastAPI, Request


async def keep(_: asyncpg.Connection) -> None:
    """Leaves a connection as it is: no call changes its session, and asyncpg's reset is a query."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the pool at the start and closes it at the end."""
    url = os.environ["DATABASE_URL"]
    async with asyncpg.create_pool(url, min_size=10, max_size=10, reset=keep) as pool:
        app.state.pool = pool
        yield


async def get_pool(request: Request) -> asyncpg.Pool:
    """The pool, for routes that depend on it."""
    return request.app.state.pool


PoolDep = Annotated[asyncpg.Pool, Depends(get_pool)]
