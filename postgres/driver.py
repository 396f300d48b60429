"""psycopg2 on the event loop: its connections, and the SQLAlchemy dialect that uses them.

psycopg2 has no coroutines, but libpq can be polled. In asynchronous mode every call returns at once
and `poll()` says what to wait for
(https://www.psycopg.org/docs/advanced.html#asynchronous-support). So a thousand waiting
requests need no threads. Such a connection is always in autocommit. This service needs no other
mode, because each of its operations is one statement.
"""

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

from postgres.cancellation import cancel
from postgres.connect_error import ConnectError, show_sqlstates
from postgres.dns import addresses

CONNECT_TIMEOUT = 5.0  # seconds
STATEMENT_TIMEOUT = 5.0  # seconds; the client's own, because a pooler forwards no server setting
EXPIRED = "the database did not answer in time"

Row = tuple[Any, ...]


class Connection(extensions.connection):
    """A connection that waits on the running event loop instead of blocking it.

    The event loop watches its socket all the time. Data that arrives while no statement is running
    means that the server ends the connection. (It may also report a setting, which is treated the
    same.) A dead connection is therefore known before it is used. This replaces a liveness check.
    """

    loop: asyncio.AbstractEventLoop
    socket: int
    busy = True  # while it is opened, too
    dead = False
    expired = False
    generation = 0  # of its pool
    used = False  # since its pool last looked for a surplus
    waiter: asyncio.Future[None] | None = None
    cancellation: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Complete the connection. Raises psycopg2.OperationalError."""
        self.loop = asyncio.get_running_loop()
        show_sqlstates(self, show=True)
        while (state := self.poll()) != extensions.POLL_OK:
            # libpq may switch to another socket (the next address, TLS) between any two polls.
            watch, forget = self._watchers(state)
            await self._wait(watch, forget, self.fileno())
        show_sqlstates(self, show=False)
        self.socket, self.busy = self.fileno(), False
        self.loop.add_reader(self.socket, self._readable)

    async def fetch(
        self, sql: str, parameters: Mapping[str, Any] | None = None, elapsed: float = 0.0
    ) -> list[Row]:
        """Return the rows of one statement, in one round trip."""
        cursor = super().cursor()
        await self.execute(cursor, sql, parameters, elapsed)
        return cursor.fetchall() if cursor.description else []

    async def execute(
        self, cursor: extensions.cursor, sql: str, parameters: Any, elapsed: float = 0.0
    ) -> None:
        """Execute `sql`; the rows are then in `cursor`.

        `elapsed` is the number of seconds of STATEMENT_TIMEOUT that it took to get the connection.
        Raises psycopg2.Error and TimeoutError. If the time-out or a cancellation interrupts the
        wait, the statement and the connection end. The reason is that the response is still to
        come, and would be taken for the response to the next statement.
        """
        self.busy, self.expired = True, False
        deadline = self.loop.call_later(max(STATEMENT_TIMEOUT - elapsed, 0.0), self._expire)
        try:
            extensions.cursor.execute(cursor, sql, parameters)
            while (state := self.poll()) != extensions.POLL_OK:
                if self.expired:  # while it was not waiting, just before a poll
                    raise TimeoutError(EXPIRED)
                if state == extensions.POLL_READ:
                    self.waiter = self.loop.create_future()
                    await self.waiter
                else:
                    watch, forget = self._watchers(state)
                    await self._wait(watch, forget, self.socket)
            self.busy = False
        except psycopg2.Error:
            self.busy = False
            if self.closed:
                self._mark_dead()
            raise
        except BaseException:
            self._mark_dead()
            self.cancellation = self.loop.create_task(self._cancel_and_close())
            _cancellations.add(self.cancellation)
            self.cancellation.add_done_callback(_cancellations.discard)
            raise
        finally:
            deadline.cancel()

    def is_alive(self) -> bool:
        """Return whether a statement can be sent, as far as is known without sending it."""
        return not self.dead and not self._has_something_to_read()

    def close(self) -> None:
        """Close at once, without waiting for the server, unless a cancellation will close it."""
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
        watch(socket, self._readable)
        try:
            await self.waiter
        finally:
            forget(socket)

    def _readable(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        elif not self.busy and self._has_something_to_read():
            self._mark_dead()

    def _has_something_to_read(self) -> bool:
        """Ask the kernel: the event loop may report data late, after it was read."""
        socket = select.poll()  # select.select accepts no socket from 1024 up
        socket.register(self.socket, select.POLLIN)
        return bool(socket.poll(0))

    def _expire(self) -> None:
        self.expired = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(TimeoutError(EXPIRED))

    def _mark_dead(self) -> None:
        if not self.dead:
            self.dead = True
            self.loop.remove_reader(self.socket)


# Statements that are being cancelled. The event loop itself keeps only weak references to tasks.
_cancellations: set[asyncio.Task[None]] = set()


async def wait_for_cancellations() -> None:
    """Wait until every abandoned statement is cancelled, CANCEL_TIMEOUT at most."""
    await asyncio.gather(*_cancellations, return_exceptions=True)


class Cursor(extensions.cursor):
    """A cursor for SQLAlchemy, which calls it inside `greenlet_spawn`."""

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        await_only(self.connection.execute(self, query, vars))

    async def _async_soft_close(self) -> None:
        """Do nothing for SQLAlchemy's asyncio layer: the rows are in memory, nothing is open."""


async def connect(kind: type[Connection] = Connection, **parameters: Any) -> Connection:
    """Return a new connection of the class `kind`; `parameters` are libpq's.

    Raises ConnectError, and TimeoutError after CONNECT_TIMEOUT. `is_transient` tells which
    ConnectError is worth another attempt.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await _connect(kind, parameters | await addresses(parameters))
    except TimeoutError:
        raise
    except Exception as error:  # psycopg2 raises almost anything for a peer that is not a Postgres
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


class Dialect(PGDialect_psycopg2):
    """SQLAlchemy's psycopg2 dialect over these connections."""

    driver = "psycopg2_asyncio"
    is_async = True
    supports_statement_cache = True

    release: Callable[[Connection], None] = staticmethod(Connection.close)

    def do_close(self, dbapi_connection: Any) -> None:
        """Return a connection to the pool from which SQLAlchemy took it."""
        self.release(dbapi_connection)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection whose state SQLAlchemy does not know."""
        dbapi_connection.close()
        self.release(dbapi_connection)

    # Autocommit is the only mode.
    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None: ...
    def do_commit(self, dbapi_connection: Any) -> None: ...
    def do_rollback(self, dbapi_connection: Any) -> None: ...


registry.register("postgresql.psycopg2_asyncio", __name__, "Dialect")

DIALECT: PGDialect_psycopg2 = Dialect()  # type: ignore[no-untyped-call]


def libpq_parameters(url: URL) -> dict[str, Any]:
    """Return `url` as the keywords of libpq."""
    parameters: dict[str, Any] = DIALECT.create_connect_args(url)[1]  # type: ignore[no-untyped-call]
    return parameters
