"""Connections that are kept and lent: the pool of a process, and the health check's one.

SQLAlchemy's own starts a greenlet for every checkout, and waits through a task of its own: 30 of
the 75 microseconds that a statement took with it. Here a checkout is a few list operations, and
SQLAlchemy is a guest: its engine takes its connections from here (database.py).
"""

import asyncio
from collections.abc import Awaitable, Callable

from postgres.driver import Connection


class Pool:
    """Keeps `size` connections, and lends up to `overflow` more that are closed once back."""

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
        """How many connections are open that nobody uses."""
        return len(self._idle)

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A live connection: the last one that was given back if there is one, or a `fresh` one.

        Raises TimeoutError if none comes free in time, and what connecting raises.
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
                # that the server has closed is found out here, before a byte of the statement is
                # sent, and whatever is to be sent goes to another one. After that nobody can tell:
                # that the kernel took the bytes says nothing about who read them.
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
        """Takes a connection back."""
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
        """Closes every connection, and those that are lent once they come back."""
        self._generation += 1
        while self._idle:
            self._idle.pop().close()
