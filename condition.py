"""Whether the database can be used, and what the log says of it."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import psycopg2
from psycopg2.errors import NotNullViolation, ReadOnlySqlTransaction

from errors import (
    APIError,
    DatabaseNotMigrated,
    DatabaseUnavailable,
    DatabaseUnusable,
    is_database_at_fault,
)
from migrations.access import READ_ONLY, Obstacle
from migrations.state import NOT_MIGRATED, find_obstacle
from postgres import connect_error
from postgres.letter_case import LetterCase
from postgres.probe import Probe
from postgres.trouble import PassingTrouble, Trouble

HEALTH_TIMEOUT = 1.5  # seconds for the whole of a check
WATCH_INTERVAL = 5.0  # seconds between checks while the database can't be used
QUIET = 60.0  # seconds without such an error after which statements are said to work again

# Errors of statements whose reason is logged: the disk, the memory, files, rights. The SQLSTATE, or
# its beginning. A statement that waited too long has others, which say nothing of the next one.
_LASTING = ("53", "58", "42501")
# Errors of statements after which the schema is compared. Every statement sends what has no
# default, so a NULL where none may be is a default that is missing.
_SCHEMA_ERRORS = (psycopg2.ProgrammingError, NotNullViolation)


class Condition:
    """What is known of one database, from attempts to connect, checks and failed statements.

    Kinds of trouble are kept apart, because the end of one is not the end of another.
    """

    def __init__(
        self, probe: Probe, secrets: Collection[str], renew: Callable[[], None] = lambda: None
    ) -> None:
        """Take the connection for the checks, and what must not get into the log.

        `renew` closes the other connections, which have settings of the time when they were opened.
        """
        self._probe = probe
        self._secrets = secrets
        self._renew = renew
        self._connecting = Trouble("The database accepts connections again")
        self._responding = Trouble("The database responds again")
        self._schema = Trouble("The database is migrated")
        self._setup = Trouble("The database's set-up is in order")
        self._statements = PassingTrouble("No statement failed for this reason for a minute", QUIET)
        self._checking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._letter_case = LetterCase(probe)

    def not_connected(self, error: BaseException) -> None:
        """Log why connecting failed."""
        self._begin(self._connecting, error)

    def connected(self) -> None:
        self._connecting.end()

    async def check(self) -> None:
        """Check that the database responds and can be used, on a connection outside the pool.

        Raises DatabaseUnavailable, DatabaseNotMigrated and DatabaseUnusable. Concurrent calls share
        one check.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._checking)

    async def _check(self) -> None:
        connection = None
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT):
                connection = await self._probe.acquire()
                try:
                    obstacle = await find_obstacle(connection)
                finally:
                    self._probe.release(connection)
        except (psycopg2.Error, TimeoutError) as error:
            self._begin(self._responding if connection else self._connecting, error)
            raise DatabaseUnavailable(type(error).__name__) from error
        self._responding.end()
        self._judge(obstacle)

    def _judge(self, obstacle: Obstacle | None) -> None:
        if obstacle is not None and obstacle.kind == NOT_MIGRATED:
            self._schema.begin(*obstacle)
            raise DatabaseNotMigrated("the health check")
        self._schema.end()
        if obstacle is not None:
            self._setup.begin(*obstacle)
            self._probe.close()  # the next check must see what is then set for the role
            raise DatabaseUnusable("the health check")
        if self._setup.kind is not None:
            self._renew()
            self._setup.end()

    def watch(self) -> None:
        """Check the database until it can be used: the log then has the reason and the end."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                await self.check()
                return await self._letter_case.check()
            except (DatabaseUnavailable, DatabaseNotMigrated):
                await asyncio.sleep(WATCH_INTERVAL)

    async def explain(self, error: psycopg2.Error) -> APIError | None:
        """Return the response to `error` of a statement, or None if the statement is wrong.

        The database is checked after a statement that Postgres does not accept, such as one with an
        undefined table, column or function, or without a right (class 42 of SQLSTATE, and 3F), or
        that lacks a default, to tell a fault of its set-up from a bug. Raises DatabaseUnavailable
        if it can't be checked.
        """
        name = type(error).__name__
        if isinstance(error, ReadOnlySqlTransaction):
            self.watch()
        elif isinstance(error, _SCHEMA_ERRORS) and await self._is_obstructed():
            self.watch()
            return DatabaseNotMigrated(name) if self._schema.kind else DatabaseUnusable(name)
        if not is_database_at_fault(error):
            return None
        if (error.pgcode or "").startswith(_LASTING):
            self._begin(self._statements, error)
        return DatabaseUnavailable(name)

    async def _is_obstructed(self) -> bool:
        """Return whether something is missing. A known reason is not checked again."""
        if self._schema.kind is None and self._setup.kind in (None, READ_ONLY):
            with suppress(DatabaseNotMigrated, DatabaseUnusable):
                await self.check()
        return self._schema.kind is not None or self._setup.kind not in (None, READ_ONLY)

    def close(self) -> None:
        """End the checks. The connection is the caller's to close."""
        self._statements.close()
        for task in (self._watching, self._checking):
            if task is not None:
                task.cancel()

    def _begin(self, trouble: Trouble, error: BaseException) -> None:
        """Log the reason for `error` without the secrets, should a peer have sent one back."""
        text = connect_error.sentence(error)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        trouble.begin(connect_error.kind(error), text)
