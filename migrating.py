"""Migrates at the start of the service, in development; in production that is a command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL

import logs
from config import ROOT, Settings

TIMEOUT = 10  # seconds for one attempt
INTERVAL = 2  # seconds between attempts


@asynccontextmanager
async def migrated(url: URL, settings: Settings) -> AsyncIterator[None]:
    """In development, brings the tables up to date; if the database is not there, once it is."""
    if settings.environment == "production" or await migrate(url, settings):
        yield
        return
    logs.logger.warning("The database can't be migrated; trying again until it can")
    async with asyncio.TaskGroup() as group:
        retrying = group.create_task(_migrate_when_possible(url, settings))
        yield
        retrying.cancel()


async def _migrate_when_possible(url: URL, settings: Settings) -> None:
    while not await migrate(url, settings):  # noqa: ASYNC110  (nobody could set an event)
        await asyncio.sleep(INTERVAL)
    logs.logger.info("The database is migrated")


async def migrate(url: URL, settings: Settings) -> bool:
    """Runs Alembic, in a process of its own so that this one does not carry its memory.

    False if the database is not there, or not in time.
    """
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "5"}
    if settings.migration_database_url is None:
        environment["MIGRATION_DATABASE_URL"] = url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    quiet = subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
