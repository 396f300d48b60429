"""Find out whether the database can be used, and log why not."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import psycopg2
from psycopg2.errors import (
    LockNotAvailable,
    NotNullViolation,
    QueryCanceled,
    ReadOnlySqlTransaction,
)

from errors import (
    APIError,
    DatabaseNotMigrated,
    DatabaseUnavailable,
    DatabaseUnusable,
    is_database_at_fault,
)
from migrations.access import READ_ONLY, UNCHECKED, Obstacle
from migrations.state import NOT_MIGRATED, find_obstacle
from postgres import connect_error
from postgres.letter_case import LetterCase
from postgres.probe import Probe
from postgres.trouble import PassingTrouble, Trouble, VersionTrouble

HEALTH_TIMEOUT = 1.5  # seconds for a whole check
WATCH_INTERVAL = 5.0  # seconds between checks while the database can't be used
QUIET = 60.0  # seconds without an error of _LASTING until the log says that statements work again

# SQLSTATEs, or their beginnings, of failed statements whose reason is logged: they concern the
# disk, memory, files and rights, and the next statement is likely to fail too. Timeouts have other
# SQLSTATEs, and say nothing about the next statement.
_LASTING = ("53", "58", "42501")
# Errors of statements after which the schema is checked. Every statement sends all values that have
# no default, so a NOT NULL violation means that the table lacks a default.
_SCHEMA_ERRORS = (psycopg2.ProgrammingError, NotNullViolation)
# Errors of a time limit that the server sets. It comes from the settings of the connection's role.
_TIME_LIMITS = (QueryCanceled, LockNotAvailable)


class Condition:
    """What connection attempts, checks and failed statements show about one database.

    Each kind of trouble is recorded separately, because one may end while another lasts.
    """

    def __init__(
        self, probe: Probe, secrets: Collection[str], renew: Callable[[], None] = lambda: None
    ) -> None:
        """Take the connection for the checks, and the secrets to keep out of the log.

        `renew` closes the other connections, because each keeps the settings with which it was
        opened.
        """
        self._probe = probe
        self._secrets = secrets
        self._renew = renew
        self._connecting = Trouble("The database accepts connections again")
        self._responding = Trouble("The database responds again")
        self._schema = Trouble("The database is migrated")
        # True if another program made the table `tasks`. No statement is then executed, because the
        # service could not use the result.
        self.is_foreign = False
        self._setup = Trouble("The database's set-up is in order")
        self._version = VersionTrouble("The schema version can be checked")
        self._statements = PassingTrouble("No statement failed for this reason for a minute", QUIET)
        self._checking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._letter_case = LetterCase(probe)
        self._is_limited = False  # a time limit of the server ended the last check
        # Whether the log has a line about the server since a check last succeeded.
        self._is_reported = False

    def not_connected(self, error: BaseException) -> None:
        """Log why connecting failed."""
        self._begin(self._connecting, error)

    def connected(self) -> None:
        self._connecting.end()

    async def check(self) -> None:
        """Check that the database responds and can be used, on a connection outside the pool.

        Raises DatabaseUnavailable, DatabaseNotMigrated or DatabaseUnusable. Concurrent calls share
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
            if isinstance(error, _TIME_LIMITS):
                self._is_limited = True
                self._probe.close()  # it keeps this limit
            raise DatabaseUnavailable(type(error).__name__) from error
        self._responding.end()
        self._is_reported = False
        self._judge(obstacle)

    def _judge(self, obstacle: Obstacle | None) -> None:
        if obstacle is None:
            self._version.end()
        elif obstacle.kind == UNCHECKED:
            self._version.begin(obstacle.kind, obstacle.clause)
            obstacle = None  # everything else works
        self.is_foreign = obstacle is not None and obstacle.is_total
        if obstacle is not None and obstacle.kind == NOT_MIGRATED:
            self._schema.begin(obstacle.kind, obstacle.clause)
            if self.is_foreign:
                self.watch()
            raise DatabaseNotMigrated("the health check")
        self._schema.end()
        if obstacle is not None:
            self._setup.begin(obstacle.kind, obstacle.clause)
            self._probe.close()  # so that the next check uses the role's new settings
            raise DatabaseUnusable("the health check")
        if self._setup.kind is not None or self._is_limited:
            self._renew()
            self._is_limited = False
            self._setup.end()

    def watch(self) -> None:
        """Check the database until it can be used, to log why it can't and when it can again."""
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
        """Return the response to a statement's `error`, or None if the statement itself is wrong.

        A wrong set-up of the database looks like a bug if Postgres rejects the statement (classes
        42 and 3F of SQLSTATE: for example an undefined table, column or function, or a missing
        right), or if a default is missing. After such an error, this checks the database. Raises
        DatabaseUnavailable if it can't be checked.
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
        """Return whether the database lacks something. Check it unless that is already known."""
        if self._schema.kind is None and self._setup.kind in (None, READ_ONLY):
            if self._checking is not None and not self._checking.done():
                # This check may have read the schema before the statement failed. Check again.
                await asyncio.wait([self._checking])
            with suppress(DatabaseNotMigrated, DatabaseUnusable):
                await self.check()
        return self._schema.kind is not None or self._setup.kind not in (None, READ_ONLY)

    def close(self) -> None:
        """Stop the checks. The caller has to close the connection."""
        self._statements.close()
        for task in (self._watching, self._checking):
            if task is not None:
                task.cancel()

    def _begin(self, trouble: Trouble, error: BaseException) -> None:
        """Log the reason for `error`, without any secret that the peer may have sent back.

        A server that hangs affects both the check and new connections, which is logged once.
        """
        kind = connect_error.kind(error)
        if trouble is not self._statements:
            other = self._responding if trouble is self._connecting else self._connecting
            if self._is_reported and kind == other.kind:
                return
            self._is_reported = True
        text = connect_error.sentence(error)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        trouble.begin(kind, text)
