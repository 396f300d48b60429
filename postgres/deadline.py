"""The time limit of a connection's statement."""

import asyncio
from typing import Any

EXPIRED = "the database did not respond in time"


class Deadline:
    """A part of AsyncConnection: the deadline of the statement that it is executing.

    One timer serves all statements of a connection, so it rarely has to be set again.
    """

    loop: asyncio.AbstractEventLoop
    busy = True  # also while the connection is being opened
    waiter: asyncio.Future[Any] | None = None
    expired = False
    _deadline = 0.0  # of the last statement, on the loop's clock
    _timer: asyncio.TimerHandle | None = None

    def _set_deadline(self, seconds: float) -> None:
        """Let the statement time out after `seconds`."""
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

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
