"""psycopg2 connections on the event loop.

psycopg2 has no coroutines, but it has an asynchronous mode, in which every call returns at once and
`poll()` says what to wait for (https://www.psycopg.org/docs/advanced.html#asynchronous-support). So
a thousand waiting requests need no threads. An asynchronous connection is always in autocommit
mode. This service needs no other mode, because each of its operations is one statement.
"""

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.util import await_only

from postgres.cancellation import abandon_requests, cancel
from postgres.connect_error import ConnectError, show_sqlstates
from postgres.dns import addresses
from postgres.prepared import (
    READ_COMMITTED,
    RECOVERABLE,
    Names,
    PreparedStatements,
    Statement,
)

CONNECT_TIMEOUT = 5.0  # seconds
STATEMENT_TIMEOUT = 5.0  # seconds; measured here, because poolers forward no server setting
EXPIRED = "the database did not respond in time"
# This parameter overrides the encoding that the role, the server, PGCLIENTENCODING or a pooler
# sets. In another encoding than UTF-8, some titles could be neither stored nor read.
ENCODING = {"client_encoding": "UTF8"}

# Bytes. A message up to this size is sent in one call, because the kernel's socket buffer is empty.
SENT_AT_ONCE = 4096

# A response of more rows than this is dropped as soon as they have been read. Replacing the cursor
# takes 1 µs, so it is not worth it for fewer rows, which stay until the next statement.
FEW_ROWS = 20

Row = tuple[Any, ...]
OnRows = Callable[[list[Row]], None]

TIMESTAMPTZ = 1184  # the number of the type in every Postgres (pg_type.dat)

# After a deadlock, the statement that Postgres rolled back is sent again after this many seconds,
# so that the other statements can take their locks first.
DEADLOCK_PAUSE = 0.1


class Connection(extensions.connection):
    """A connection that waits on the running event loop instead of blocking it.

    The event loop always watches the socket. Data that arrives while no statement is running means
    that the server is closing the connection. (The server may also be reporting a changed setting,
    which is treated the same.) So a dead connection is detected before it is used, without a query
    to check it.
    """

    loop: asyncio.AbstractEventLoop
    socket: int
    statements = PreparedStatements(enabled=False)  # until its Database sets its own
    busy = True  # also while it is being opened
    dead = False
    expired = False
    generation = 0  # of its pool
    used = False  # since its pool last looked for surplus connections
    waiter: asyncio.Future[Any] | None = None
    cancellation: asyncio.Task[None] | None = None
    _deadline = 0.0  # of the statement, on the loop's clock
    _timer: asyncio.TimerHandle | None = None
    _preparing: str | None = None  # the name that the statement's message prepares or executes
    _on_rows: OnRows | None = None  # None if the rows stay in the cursor

    async def open(self) -> None:
        """Complete the connection. Raises psycopg2.OperationalError."""
        self.loop = asyncio.get_running_loop()
        show_sqlstates(self, show=True)
        while (state := self.poll()) != extensions.POLL_OK:
            # Between two polls libpq may switch to another socket, for the next address or for TLS.
            watch, forget = self._watchers(state)
            await self._wait(watch, forget, self.fileno())
        show_sqlstates(self, show=False)
        self.socket, self.busy = self.fileno(), False
        self.loop.add_reader(self.socket, self._readable)
        self._socket_state = select.poll()  # select.select accepts no descriptor above 1023
        self._socket_state.register(self.socket, select.POLLIN)
        self._names: Names = {}
        self._renew_cursor()

    def _renew_cursor(self) -> None:
        """Replace the cursor of `fetch`, and so drop the response that psycopg2 keeps in it."""
        self._cursor = super().cursor(cursor_factory=extensions.cursor)
        # Keep times as text: converting them to datetimes would take as long as the rest of the
        # row.
        extensions.register_type(extensions.UNICODE, self._cursor)
        assert self._cursor.string_types is not None
        self._cursor.string_types[TIMESTAMPTZ] = extensions.UNICODE

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
        self._on_rows = on_rows
        try:
            rows = await self.execute(self._cursor, statement, parameters, elapsed)
        except psycopg2.Error:
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
            return await self._execute_statement(cursor, statement, parameters or {})

    async def _execute_statement(
        self, cursor: extensions.cursor, statement: Statement, parameters: Any
    ) -> list[Row]:
        if self.statements.enabled and statement.is_prepared:
            return await self._execute_prepared(cursor, statement, parameters)
        return await self._run(cursor, self.statements.plain(statement), parameters)

    async def _execute_prepared(
        self, cursor: extensions.cursor, statement: Statement, parameters: Any
    ) -> list[Row]:
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

    async def _run(self, cursor: extensions.cursor, sql: str, parameters: Any) -> list[Row]:
        if self.expired:  # the deadline passed during the previous message
            raise TimeoutError(EXPIRED)
        self.busy = True
        waiter = self.waiter = self.loop.create_future()
        try:
            extensions.cursor.execute(cursor, sql, parameters)
            if len(cursor.query or b"") > SENT_AT_ONCE:
                self._proceed(waiter)
            while (rows := await waiter) is None:  # there is something to read
                waiter = self.waiter = self.loop.create_future()
                self._proceed(waiter)
                if self.expired and not waiter.done():  # the timer could not end this waiter
                    raise TimeoutError(EXPIRED)
            received: list[Row] = rows
        except psycopg2.Error:
            self.busy, self._preparing = False, None
            if self.closed:
                self._mark_dead()
            raise
        except BaseException:
            # If the rows have arrived at the same moment, another statement may be using the
            # connection.
            if not _has_rows(waiter):
                self._mark_dead()
                self.cancellation = self.loop.create_task(self._cancel_and_close())
                _cancellations.add(self.cancellation)
                self.cancellation.add_done_callback(_cancellations.discard)
            raise
        return received

    def _proceed(self, waiter: asyncio.Future[Any]) -> None:
        """Send or receive what is possible now. Complete `waiter` at the end of the response."""
        try:
            state = self.poll()
            if state == extensions.POLL_OK:
                self._complete(waiter)
                return
        except Exception as error:
            waiter.set_exception(error)
            return
        if state == extensions.POLL_WRITE:
            self.loop.add_writer(self.socket, self._writable)
        elif self._has_something_to_read():
            # uvloop reports a socket error only once, and then stops watching the socket.
            self.loop.call_soon(self._readable)

    def _complete(self, waiter: asyncio.Future[Any]) -> None:
        self.busy = False
        if self._preparing is not None:
            self._names[self._preparing], self._preparing = True, None
        on_rows, self._on_rows = self._on_rows, None
        rows: list[Row] = []
        if on_rows is not None:
            rows = self._rows()
            on_rows(rows)
        waiter.set_result(rows)

    def _rows(self) -> list[Row]:
        try:
            rows = self._cursor.fetchall() if self._cursor.description else []
            if len(rows) > FEW_ROWS and not self.closed:
                self._renew_cursor()
            return rows
        except ValueError as error:  # the values do not match their types
            self.close()
            raise psycopg2.OperationalError("the response is malformed") from error

    @property
    def began_at(self) -> float:
        """When the last statement began, on the loop's clock, or 0.0."""
        return max(self._deadline - STATEMENT_TIMEOUT, 0.0)

    def is_alive(self) -> bool:
        """Return whether the connection is open, as far as is known without sending anything."""
        return not self.dead and not self._has_something_to_read()

    def close(self) -> None:
        """Close immediately, or let the cancellation do so if one is running."""
        self._mark_dead()
        if self.cancellation is None:
            super().close()

    async def _cancel_and_close(self) -> None:
        """Cancel before closing: a pooler drops the mapping when its client disconnects."""
        try:
            await cancel(self)
        finally:
            super().close()

    def _watchers(self, state: int) -> tuple[Callable[..., Any], Callable[[int], Any]]:
        if state == extensions.POLL_READ:
            return self.loop.add_reader, self.loop.remove_reader
        return self.loop.add_writer, self.loop.remove_writer

    async def _wait(
        self, watch: Callable[..., Any], forget: Callable[[int], Any], socket: int
    ) -> None:
        self.waiter = self.loop.create_future()
        watch(socket, self._wake)
        try:
            await self.waiter
        finally:
            forget(socket)

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _writable(self) -> None:
        self.loop.remove_writer(self.socket)
        self._readable()

    def _readable(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            if self._on_rows is None:
                self.waiter.set_result(None)
            else:
                self._proceed(self.waiter)
        elif not self.busy and self._has_something_to_read():
            self._mark_dead()

    def _has_something_to_read(self) -> bool:
        """Ask the kernel, because the event loop may report data after it was read."""
        return bool(self._socket_state.poll(0))

    def _set_deadline(self, seconds: float) -> None:
        """Let the statement time out after `seconds`.

        One timer serves all statements, so it rarely has to be set again.
        """
        self.expired = False
        self._deadline = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if not self.busy:
            return
        if self.loop.time() < self._deadline - 0.001:  # the clock of a timer is not exact
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        else:
            self._expire()

    def _expire(self) -> None:
        self.expired = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(TimeoutError(EXPIRED))

    def _mark_dead(self) -> None:
        if not self.dead:
            self.dead = True
            self.loop.remove_reader(self.socket)
            self.loop.remove_writer(self.socket)
            if self._timer is not None:
                self._timer.cancel()


def _has_rows(waiter: asyncio.Future[Any]) -> bool:
    is_complete = waiter.done() and not waiter.cancelled() and waiter.exception() is None
    return is_complete and waiter.result() is not None


# Keeps the tasks that cancel statements from being garbage collected: the event loop has only weak
# references to tasks.
_cancellations: set[asyncio.Task[None]] = set()


async def wait_for_cancellations() -> None:
    """Wait until every abandoned statement is cancelled, or until `cancel` has given up."""
    await asyncio.gather(*_cancellations, return_exceptions=True)
    await abandon_requests()


class Cursor(extensions.cursor):
    """A cursor for SQLAlchemy, which calls it inside `greenlet_spawn`."""

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        await_only(self.connection.execute(self, query, vars))

    async def _async_soft_close(self) -> None:
        """Do nothing, because the rows are already in memory."""


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
