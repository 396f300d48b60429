"""The migration at the start of the service in development. In production it is a command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL

from config import ROOT, Settings
from observability import logs

STARTUP_TIMEOUT = 10  # seconds that the start waits; then it continues without the migration
INTERVAL = 2  # seconds between attempts


@asynccontextmanager
async def migrated(url: URL, settings: Settings) -> AsyncIterator[None]:
    """Bring the tables up to date in development, as soon as the database is available."""
    if settings.environment == "production":
        yield
        return
    async with asyncio.TaskGroup() as group:
        migrating = group.create_task(migrate(url, settings))
        await asyncio.wait([migrating], timeout=STARTUP_TIMEOUT)
        yield
        migrating.cancel()


async def migrate_within_timeout(url: URL, settings: Settings) -> bool:
    """Migrate, and return whether that succeeded within STARTUP_TIMEOUT."""
    try:
        await asyncio.wait_for(migrate(url, settings), STARTUP_TIMEOUT)
    except TimeoutError:
        return False
    return True


async def migrate(url: URL, settings: Settings) -> None:
    """Run Alembic until it succeeds. Log each reason for a failure once."""
    logs.logger.info("Migrating the database")
    said = None
    while (reason := await _attempt(url, settings)) is not None:
        if reason != said:
            logs.logger.warning("The database can't be migrated yet: %s", reason)
            said = reason
        await asyncio.sleep(INTERVAL)
    if said is not None:
        logs.logger.info("The database is migrated")


async def _attempt(url: URL, settings: Settings) -> str | None:
    """Run Alembic in a separate process, so that this one does not keep its memory.

    Return None if it succeeded, or the sentence that it printed (migrations/report.py). A stack
    trace is left out, because it may quote the database.
    """
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "5"}
    if settings.migration_database_url is None:
        environment["MIGRATION_DATABASE_URL"] = url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return None
    lines = output.decode(errors="replace").splitlines()
    return lines[0] if len(lines) == 1 else f"Alembic ended with code {process.returncode}"
