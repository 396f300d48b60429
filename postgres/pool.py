"""Pools of connections: one for the process, and one for the health check.

SQLAlchemy's own pool starts a greenlet for every checkout, and waits through a task of its own.
That took 30 of the 75 microseconds of a statement. Here a checkout is a few list operations.
SQLAlchemy's engine takes its connections from this pool (database.py).
"""

import asyncio
from collections.abc import Awaitable, Callable

from postgres.driver import Connection


class Pool:
    """A pool of `size` connections, and up to `overflow` more that close when returned."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], size: int, overflow: int, timeout: float
    ) -> None:
        self._connect = connect
        self._size = size
        self.limit = size + overflow
        self.in_use = 0
        self.timeouts = 0
        self._timeout = timeout  # seconds
        self._slots = asyncio.Semaphore(self.limit)
        self._idle: list[Connection] = []
        self._generation = 0

    @property
    def idle(self) -> int:
        """The number of open connections that are not in use."""
        return len(self._idle)

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """Return a live connection: the last one returned if there is one, or a `fresh` one.

        Raises TimeoutError if no connection becomes free in time, and any error of connecting.
        """
        if self._slots.locked():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._slots.acquire()
            except TimeoutError:
                self.timeouts += 1
                raise
        else:
            await self._slots.acquire()  # does not wait
        self.in_use += 1
        try:
            while self._idle:
                connection = self._idle.pop()
                # A write must not be repeated once it may have reached the server. A connection
                # that the server has closed is detected here, before a byte of the statement is
                # sent, and the statement goes to another connection. Later it is impossible to
                # know: the kernel may accept bytes that the server never reads.
                if connection.is_alive() and not fresh:
                    return connection
                connection.close()
            generation = self._generation
            connection = await self._connect()
        except BaseException:
            self._free_slot()
            raise
        connection.generation = generation
        return connection

    def release(self, connection: Connection) -> None:
        """Return a connection to the pool."""
        outdated = connection.generation != self._generation
        if connection.dead or outdated or len(self._idle) >= self._size:
            connection.close()
        else:
            self._idle.append(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        self.in_use -= 1
        self._slots.release()

    def close(self) -> None:
        """Close every connection; one that is checked out closes when it is returned."""
        self._generation += 1
        while self._idle:
            self._idle.pop().close()
