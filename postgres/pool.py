"""The pool of the process's connections.

SQLAlchemy's own pool starts a greenlet for every checkout, and waits in a separate task. That took
30 of the 75 microseconds of a statement. In this pool, a checkout is a few list operations.
SQLAlchemy's engine takes its connections from this pool (database.py).
"""

import asyncio
from collections import deque
from itertools import islice
from math import inf

from postgres.connector import Connect, Connector
from postgres.driver import Connection

IDLE_PERIOD = 30.0  # seconds
WAKE_TIMEOUT = 4.0  # seconds to wait for a connection while none is open

Waiter = asyncio.Future[Connection]


class Pool:
    """A pool of up to `size + overflow` connections.

    Connections are kept open. Those above `size` are closed after one to two IDLE_PERIODs without
    use. The connection that was returned last is used first, so that surplus connections stay
    unused. If none is idle, a request waits for the next one that is returned or opened.
    """

    def __init__(self, connect: Connect, size: int, overflow: int, timeout: float) -> None:
        self._size = size
        self.limit = size + overflow
        self.in_use = 0
        self.timeouts = 0
        self._timeout = timeout  # seconds to wait while connections are open
        self._idle: list[Connection] = []
        self._waiters: deque[Waiter] = deque()
        self._warming = False
        self._generation = 0
        self._connected_at = -inf
        self._trimmer: asyncio.TimerHandle | None = None
        self._connector = Connector(connect, self)

    @property
    def idle(self) -> int:
        """The number of open connections that are not in use."""
        return len(self._idle)

    def is_connected(self) -> bool:
        """Return whether the pool has an open connection, as far as is known."""
        return self.in_use > 0 or not all(connection.dead for connection in self._idle)

    @property
    def unconnected_at(self) -> float:
        """The last time at which there was no open connection, on the event loop's clock."""
        return self._connected_at if self.is_connected() else asyncio.get_running_loop().time()

    def checkout(self) -> Connection | None:
        """Return the idle connection that was used last, or None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            # A write must not be repeated once it may have reached the server. So a connection that
            # the server has closed is detected here, before anything is sent, and another one is
            # used. After sending, nobody can know, because the kernel may accept bytes that the
            # server never reads.
            if connection.is_alive():
                self.in_use += 1
                return connection
            connection.close()
        return None

    async def acquire(
        self, *, fresh: bool = False, wake_timeout: float = WAKE_TIMEOUT
    ) -> Connection:
        """Return a live connection, which must be released.

        A `fresh` connection was opened, or has completed a statement, after this call. While there
        is no open connection, wait up to `wake_timeout` seconds. Raises TimeoutError or
        ConnectError.
        """
        if fresh:
            self._close_idle()
        elif (idle := self.checkout()) is not None:
            return idle
        now = asyncio.get_running_loop().time()
        deadline, wake_deadline = now + min(self._timeout, wake_timeout), now + wake_timeout
        while not (connection := await self._next(deadline, wake_deadline)).is_alive():
            connection.close()
            self.release(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Return a connection to the pool.

        It is closed if it is still in a transaction or a COPY, which a text such as BEGIN leaves
        behind. Otherwise the statements of other requests would become part of that, or fail.
        """
        self.in_use -= 1
        is_unfinished = connection.is_in_transaction
        if connection.dead or is_unfinished or connection.generation != self._generation:
            connection.close()
            self._connect()
        else:
            self._offer(connection)

    async def warm_up(self) -> None:
        """Open the first of `size` connections; the others follow in the background.

        Raises TimeoutError or ConnectError.
        """
        self.release(await self.acquire())
        self._warming = True
        self._connect()

    def close_unused_since(self, moment: float) -> None:
        """Close the idle connections whose last statement began before `moment`.

        If the network has silently dropped its connections, each of them would make another request
        time out.
        """
        for connection in self._idle[:]:
            if connection.began_at < moment:
                self._idle.remove(connection)
                connection.close()
        self._connect()

    def close(self) -> None:
        """Close every connection; one that is checked out closes when it is returned."""
        self._generation += 1
        self._warming = False
        self._connector.close()
        self._close_idle()
        self._connect()

    @property
    def wanted(self) -> int:
        """The number of connections to open, besides those that are open."""
        open_ = self.in_use + len(self._idle)
        missing = self._size - open_ if self._warming else 0
        return min(max(len(self._waiters), missing), self.limit - open_)

    def accept(self, connection: Connection) -> None:
        """Add a connection that was just opened."""
        if not self.is_connected():
            self._connected_at = asyncio.get_running_loop().time()
        open_ = self.in_use + len(self._idle)
        if open_ >= self.limit:  # several pending attempts succeeded at once
            connection.close()
            return
        connection.generation = self._generation
        self._offer(connection)
        if open_ + 1 >= self._size:
            self._warming = False
        if open_ + 1 > self._size and self._trimmer is None:
            self._trimmer = asyncio.get_running_loop().call_later(IDLE_PERIOD, self._trim)

    def failed(self, error: BaseException, *, is_final: bool) -> None:
        """Handle the error of an attempt to connect. A final error fails every waiting request."""
        self._warming = False
        while is_final and self._waiters:
            _end(self._waiters.popleft(), error.with_traceback(None))

    def _offer(self, connection: Connection) -> None:
        """Pass a live connection to the request that has waited longest, or keep it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(connection)
                return
        connection.used = True
        self._idle.append(connection)

    async def _next(self, deadline: float, wake_deadline: float) -> Connection:
        """Wait for the next connection that is returned or opened."""
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._waiters.append(waiter)
        self._connect()
        timer = loop.call_at(deadline, self._expire, waiter, wake_deadline)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # it arrived at the same moment
            raise
        finally:
            timer.cancel()

    def _connect(self) -> None:
        if (refusal := self._connector.refusal) is not None:
            self.failed(refusal, is_final=True)
        elif self.wanted:
            self._connector.start()

    def _expire(self, waiter: Waiter, wake_deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if waiter.done():
            return
        if not self.is_connected() and loop.time() < wake_deadline:
            loop.call_at(wake_deadline, self._expire, waiter, wake_deadline)
            return
        self.timeouts += 1
        self._waiters.remove(waiter)
        _end(waiter, TimeoutError() if self.is_connected() else self._connector.error)

    def _trim(self) -> None:
        """Close surplus connections that were not used since the last call."""
        self._trimmer = None
        surplus = max(self.in_use + len(self._idle) - self._size, 0)
        unused = [connection for connection in self._idle if not connection.used]
        for connection in islice(unused, surplus):
            self._idle.remove(connection)
            connection.close()
        for connection in self._idle:
            connection.used = False
        if surplus > len(unused):
            self._trimmer = asyncio.get_running_loop().call_later(IDLE_PERIOD, self._trim)

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _end(waiter: Waiter, error: BaseException | None) -> None:
    if not waiter.done():
        waiter.set_exception(error or TimeoutError())
