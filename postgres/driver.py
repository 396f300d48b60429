"""Connections to Postgres, which execute one statement in one round trip.

`AsyncConnection` sends a message and waits for its response. This module decides which messages a
statement needs, and opens the connections.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.errors import DeadlockDetected, SerializationFailure
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from postgres.async_connection import AsyncConnection, OnRows, Row
from postgres.connect_error import ConnectError
from postgres.cursors import Cursor, ServerCursor
from postgres.dns import addresses
from postgres.prepared import READ_COMMITTED, RECOVERABLE, PreparedStatements, Statement

CONNECT_TIMEOUT = 5.0  # seconds
STATEMENT_TIMEOUT = 5.0  # seconds; measured here, because poolers forward no server setting
# This parameter overrides the encoding that the role, the server, PGCLIENTENCODING or a pooler
# sets. In another encoding than UTF-8, some titles could be neither stored nor read.
ENCODING = {"client_encoding": "UTF8"}

# After a deadlock, the statement that Postgres rolled back is sent again after this many seconds,
# so that the other statements can take their locks first.
DEADLOCK_PAUSE = 0.1

# Sent with the first statement of a transaction, so it costs no round trip. The isolation level is
# the default of the role or the database.
BEGIN = "BEGIN; "
BUSY = "a session executes one statement at a time; use a session for each concurrent task"


class Connection(AsyncConnection):
    """A connection that executes statements, and prepares those that its database allows."""

    statements = PreparedStatements(enabled=False)  # until its Database sets its own
    generation = 0  # of its pool
    used = False  # since its pool last looked for surplus connections
    transaction = 0  # the number of SQLAlchemy's transactions that have ended
    begin = BEGIN  # or another command that begins SQLAlchemy's transactions; empty in autocommit

    @property
    def began_at(self) -> float:
        """When the last statement began, on the loop's clock, or 0.0."""
        return max(self._deadline - STATEMENT_TIMEOUT, 0.0)

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, also one that has failed, or a statement is unfinished."""
        return not self.dead and self.get_transaction_status() != TRANSACTION_STATUS_IDLE

    def cursor(self, name: str | None = None, **options: Any) -> Any:  # type: ignore[override]
        """Return a cursor, which keeps its rows in the server if it has a name.

        psycopg2's own cursors can't have a name in asynchronous mode.
        """
        if name is None:
            return super().cursor(**options)
        cursor = super().cursor(cursor_factory=ServerCursor)
        cursor.portal = name
        return cursor

    async def end(self, command: str) -> None:
        """End SQLAlchemy's transaction with COMMIT or ROLLBACK."""
        self.transaction += 1
        await self.execute(self._cursor, command, None)

    async def close_portal(self, name: str) -> None:
        """Close a cursor in the server."""
        await self.execute(self._cursor, f"CLOSE {name}", None)

    async def fetch(
        self,
        statement: str | Statement,
        parameters: Mapping[str, Any] | None = None,
        elapsed: float = 0.0,
        on_rows: OnRows | None = None,
    ) -> list[Row]:
        """Execute one statement in one round trip, and return its rows.

        A `timestamptz` is returned as the text that Postgres sends. As soon as the rows have
        arrived, `on_rows` is called with them, and another statement may use the connection. That
        statement is then sent before the caller continues, so Postgres does not wait for the caller
        (docs/decisions/005-driver-and-pool.md). `on_rows` is not called after an error. Leave it
        out if there may be many rows. They are then read when the caller continues, so that the
        rows of other connections are not in memory at the same time.
        """
        if self.busy:
            raise psycopg2.ProgrammingError(BUSY)
        self._on_rows = on_rows
        try:
            rows = await self.execute(self._cursor, statement, parameters, elapsed)
        except BaseException:
            if self._on_rows is on_rows:  # else another statement has begun meanwhile
                self._on_rows = None
            raise
        return self._rows() if on_rows is None else rows

    async def execute(
        self,
        cursor: extensions.cursor,
        statement: str | Statement,
        parameters: Any,
        elapsed: float = 0.0,
    ) -> list[Row]:
        """Execute `statement` on `cursor`, which keeps the rows unless `fetch` asked for them.

        `elapsed` is how many seconds of STATEMENT_TIMEOUT were spent on getting the connection.
        Raises psycopg2.Error and TimeoutError. A timeout or a cancellation ends the statement and
        closes the connection, because the late response would be taken for the response to the next
        statement.
        """
        if self.busy:
            raise psycopg2.ProgrammingError(BUSY)
        self._set_deadline(STATEMENT_TIMEOUT - elapsed)
        if not isinstance(statement, Statement):
            return await self._run(cursor, statement, parameters)
        try:
            return await self._execute_statement(cursor, statement, parameters or {})
        except SerializationFailure:  # which READ COMMITTED avoids; nothing was changed
            self.statements.prefix = READ_COMMITTED
            return await self._run(cursor, self.statements.plain(statement), parameters or {})
        except DeadlockDetected:  # Postgres rolled this back, so that the others can finish
            await asyncio.sleep(DEADLOCK_PAUSE)
            self._set_deadline(self._deadline - self.loop.time())  # the timer may have ended
            return await self._execute_statement(cursor, statement, parameters or {})

    async def _execute_statement(
        self, cursor: extensions.cursor, statement: Statement, parameters: Any
    ) -> list[Row]:
        if not (self.statements.enabled and statement.is_prepared):
            return await self._run(cursor, self.statements.plain(statement), parameters)
        message = self.statements.message(statement, self._names)
        self._preparing = statement.name
        try:
            return await self._run(cursor, message, parameters)
        except RECOVERABLE as error:
            return await self._run_again(cursor, statement, parameters, error)
        except psycopg2.Error:
            self._names.setdefault(statement.name, False)
            raise

    async def _run_again(
        self,
        cursor: extensions.cursor,
        statement: Statement,
        parameters: Any,
        error: psycopg2.Error,
    ) -> list[Row]:
        """Execute a statement again after an error about its name or its prepared form.

        The error rolled back the whole message, so nothing is executed twice. Behind a pooler the
        second message may reach yet another server connection, so the third message uses plain SQL.
        """
        try:
            return await self._run(
                cursor, self.statements.recover(statement, error, self._names), parameters
            )
        except RECOVERABLE:
            return await self._run(cursor, self.statements.plain(statement), parameters)


async def connect(kind: type[Connection] = Connection, **parameters: Any) -> Connection:
    """Open a connection of the class `kind` with libpq's `parameters`.

    The encoding is UTF-8, whatever the parameters say. Raises ConnectError, or TimeoutError after
    CONNECT_TIMEOUT. `is_transient` returns whether a ConnectError is worth another attempt.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await _connect(kind, parameters | await addresses(parameters) | ENCODING)
    except TimeoutError:
        raise
    except Exception as error:  # psycopg2 may raise any error if the peer is not a Postgres
        raise ConnectError(error) from error


async def _connect(kind: type[Connection], parameters: Mapping[str, Any]) -> Connection:
    connection: Connection = psycopg2.connect(
        **parameters, async_=1, connection_factory=kind, cursor_factory=Cursor
    )
    try:
        await connection.open()
    except BaseException:
        extensions.connection.close(connection)
        raise
    return connection
