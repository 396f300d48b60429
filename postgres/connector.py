"""Open the connections of a pool in the background.

A suspended database refuses, resets or holds connections while it wakes up. No statement has been
sent at that point, so connecting is retried, for writes too. One connector retries for all waiting
requests.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from postgres.connect_error import is_transient
from postgres.driver import Connection

# Concurrent attempts. Each takes four to eight round trips, and a process on the server.
MAX_CONNECTING = 4
# Seconds between attempts while the database does not accept connections. The last value repeats.
PAUSES = (0.1, 0.15, 0.2, 0.25)

Connect = Callable[[], Coroutine[Any, Any, Connection]]


class Pool(Protocol):
    """The parts of pool.py that a connector needs."""

    @property
    def wanted(self) -> int: ...
    def is_connected(self) -> bool: ...
    def accept(self, connection: Connection) -> None: ...
    def failed(self, error: BaseException, *, is_final: bool) -> None: ...


class Connector:
    """The attempts to open connections while `pool` wants them.

    While the database accepts connections, up to MAX_CONNECTING attempts run at once. While there
    is no connection, and after a failure, a new attempt starts after each pause, even if the last
    one is still pending. The reason is that some providers never complete a connection that was
    made while the database was suspended.
    """

    def __init__(self, connect: Connect, pool: Pool) -> None:
        self._connect = connect
        self._pool = pool
        self._attempts: list[asyncio.Task[Connection]] = []  # the oldest first
        self._pauses = 0  # since the last success
        self._timer: asyncio.TimerHandle | None = None  # while attempts are paced
        # The error of a recent attempt, if another attempt would fail in the same way.
        self.refusal: BaseException | None = None
        self.error: BaseException | None = None  # of the last attempt, unless it succeeded

    def start(self) -> None:
        """Start the attempts that are wanted now.

        Raises the error of a recent attempt if another attempt would fail in the same way.
        """
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)
        if self._timer is not None:
            return
        if self._pool.is_connected():
            for _ in range(min(self._pool.wanted, MAX_CONNECTING) - len(self._attempts)):
                self._start_attempt()
        elif self._pool.wanted:
            self._start_fresh_attempt()
            self._pause()

    def close(self) -> None:
        """Cancel the attempts."""
        self._stop_pacing()
        for attempt in self._attempts:
            attempt.cancel()
        self._attempts.clear()

    def _start_fresh_attempt(self) -> None:
        if len(self._attempts) >= MAX_CONNECTING:
            # Keep the oldest attempt, because on a slow network it may be about to succeed.
            self._attempts.pop(1).cancel()
        self._start_attempt()

    def _start_attempt(self) -> None:
        attempt = asyncio.get_running_loop().create_task(self._connect())
        self._attempts.append(attempt)
        attempt.add_done_callback(self._ended)

    def _ended(self, attempt: asyncio.Task[Connection]) -> None:
        if attempt not in self._attempts:  # it was cancelled, perhaps after it had succeeded
            if not attempt.cancelled() and attempt.exception() is None:
                attempt.result().close()
            return
        self._attempts.remove(attempt)
        if attempt.cancelled():  # because the event loop ended
            return
        if (error := attempt.exception()) is None:
            self._succeeded(attempt.result())
        else:
            self._failed(error)

    def _succeeded(self, connection: Connection) -> None:
        self.error = None
        self._stop_pacing()
        self._pool.accept(connection)
        self.start()

    def _failed(self, error: BaseException) -> None:
        self.error = error
        may_pass = is_transient(error) or isinstance(error, TimeoutError)
        is_final = not (may_pass or self._pool.is_connected())
        if is_final:
            self.refusal = error
        self._pool.failed(error, is_final=is_final)
        if self._timer is None:
            self._pause()

    def _pause(self) -> None:
        seconds = PAUSES[min(self._pauses, len(PAUSES) - 1)]
        self._pauses += 1
        self._timer = asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._timer = self.refusal = None
        if not self._pool.wanted:
            self._pauses = 0
        self.start()

    def _stop_pacing(self) -> None:
        self._pauses, self.refusal = 0, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
