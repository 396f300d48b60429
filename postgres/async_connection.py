"""A psycopg2 connection on the event loop, which sends one message at a time.

psycopg2 has no coroutines, but it has an asynchronous mode, in which every call returns at once and
`poll()` says what to wait for (https://www.psycopg.org/docs/advanced.html#asynchronous-support). So
a thousand waiting requests need no threads. psycopg2 begins no transaction on an asynchronous
connection. The service needs none, because each of its operations is one statement. SQLAlchemy's
transactions are begun and ended by statements (driver.py, dialect.py).
"""

import asyncio
import select
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import extensions

from postgres.cancellation import cancel_and_close
from postgres.connect_error import show_sqlstates
from postgres.deadline import EXPIRED, Deadline
from postgres.prepared import Names
from postgres.readiness import ready

# Bytes. A message up to this size is sent in one call, because the kernel's socket buffer is empty.
SENT_AT_ONCE = 4096

# A response of more rows than this is dropped as soon as they have been read. Replacing the cursor,
# which keeps it, takes 1 µs, so it is not worth it for fewer rows. They stay until the next
# statement.
FEW_ROWS = 20

TIMESTAMPTZ = 1184  # the number of the type in every Postgres (pg_type.dat)

CLOSED = "connection already closed"  # SQLAlchemy recognises psycopg2's words

Row = tuple[Any, ...]
OnRows = Callable[[list[Row]], None]


class AsyncConnection(Deadline, extensions.connection):
    """A connection that waits on the running event loop instead of blocking it.

    The event loop always watches the socket. Data that arrives while no statement is running means
    that the server is closing the connection. (The server may also be reporting a changed setting,
    which is treated the same.) So a dead connection is detected before it is used, without a query
    to check it.
    """

    socket: int
    dead = False
    cancellation: asyncio.Task[None] | None = None
    _preparing: str | None = None  # the name that the statement's message prepares or executes
    _on_rows: OnRows | None = None  # None if the rows stay in the cursor

    async def open(self) -> None:
        """Complete the connection. Raises psycopg2.OperationalError."""
        self.loop = asyncio.get_running_loop()
        show_sqlstates(self, show=True)
        while (state := self.poll()) != extensions.POLL_OK:
            # Between two polls libpq may switch to another socket, for the next address or for TLS.
            await ready(self.fileno(), reading=state == extensions.POLL_READ)
        show_sqlstates(self, show=False)
        self.socket, self.busy = self.fileno(), False
        self.loop.add_reader(self.socket, self._readable)
        self._socket_state = select.poll()  # select.select accepts no descriptor above 1023
        self._socket_state.register(self.socket, select.POLLIN)
        self._names: Names = {}
        self._cursor = self._new_cursor()

    def is_alive(self) -> bool:
        """Return whether the connection is open, as far as is known without sending anything."""
        return not self.dead and not self._has_something_to_read()

    def close(self) -> None:
        """Close immediately, or let the cancellation do so if one is running."""
        self._mark_dead()
        if self.cancellation is None:
            super().close()

    def abandon(self) -> None:
        """Close, and fail the statement that is running, if there is one."""
        waiter = self.waiter
        if self.dead or waiter is None:
            self.close()
            return
        self._abandon(waiter)
        if not waiter.done():
            waiter.set_exception(psycopg2.OperationalError(CLOSED))

    def _new_cursor(self) -> extensions.cursor:
        """Return a cursor that keeps times as text.

        Converting them to datetimes would take as long as the rest of the row.
        """
        cursor = super().cursor(cursor_factory=extensions.cursor)
        extensions.register_type(extensions.UNICODE, cursor)
        assert cursor.string_types is not None
        cursor.string_types[TIMESTAMPTZ] = extensions.UNICODE
        return cursor

    async def _run(self, cursor: extensions.cursor, sql: str, parameters: Any) -> list[Row]:
        """Send one message, and wait for the end of its response."""
        if self.expired:  # the deadline passed during the previous message
            raise TimeoutError(EXPIRED)
        self.busy = True
        waiter: asyncio.Future[list[Row]] = self.loop.create_future()
        self.waiter = waiter
        try:
            extensions.cursor.execute(cursor, sql, parameters)
            if len(cursor.query or b"") > SENT_AT_ONCE:
                self._proceed(waiter)
            return await waiter
        except psycopg2.Error:
            self._fail()
            raise
        except BaseException:
            self._abandon(waiter)
            raise

    def _readable(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self._proceed(self.waiter)
        elif not self.busy and self._has_something_to_read():
            self._mark_dead()

    def _writable(self) -> None:
        self.loop.remove_writer(self.socket)
        self._readable()

    def _proceed(self, waiter: asyncio.Future[list[Row]]) -> None:
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

    def _complete(self, waiter: asyncio.Future[list[Row]]) -> None:
        self.busy = False
        if self._preparing is not None:
            self._names[self._preparing], self._preparing = True, None
        on_rows, self._on_rows = self._on_rows, None
        rows: list[Row] = []
        if on_rows is not None:
            rows = self._rows()
            on_rows(rows)
        # The request continues in the next turn of the loop, after the statements that `on_rows` of
        # all connections has started. So one piece of code runs for many requests in a row, while
        # the processor has it in its caches (docs/decisions/005-driver-and-pool.md).
        self.waiter = None
        self.loop.call_soon(_wake, waiter, rows)

    def _rows(self) -> list[Row]:
        try:
            rows = self._cursor.fetchall() if self._cursor.description else []
            if len(rows) > FEW_ROWS and not self.closed:
                self._cursor = self._new_cursor()
            return rows
        except ValueError as error:  # the values do not match their types
            self.close()
            raise psycopg2.OperationalError("the response is malformed") from error

    def _fail(self) -> None:
        """End the message whose response was an error."""
        self.busy, self.waiter, self._preparing = False, None, None
        if self.closed:
            self._mark_dead()

    def _abandon(self, waiter: asyncio.Future[list[Row]]) -> None:
        """Cancel the statement and close the connection, unless the response is complete."""
        # If the rows have just arrived, another statement may already be using the connection.
        if self.waiter is waiter and self.cancellation is None:
            self._mark_dead()
            self.cancellation = cancel_and_close(self, self.loop)

    def _has_something_to_read(self) -> bool:
        """Ask the kernel, because the event loop may report data after it was read."""
        return bool(self._socket_state.poll(0))

    def _mark_dead(self) -> None:
        if not self.dead:
            self.dead = True
            self.loop.remove_reader(self.socket)
            self.loop.remove_writer(self.socket)
            self._stop_timer()


def _wake(waiter: asyncio.Future[list[Row]], rows: list[Row]) -> None:
    if not waiter.done():  # its request may have been cancelled meanwhile
        waiter.set_result(rows)
