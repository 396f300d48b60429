"""How long a request waited and for what, and the log line of a slow request."""

import asyncio
from time import perf_counter

from starlette.types import Scope

from observability import logs

MAX_LINES = 10  # a second


class RequestTiming:
    """How long one request waited, and for what. Every request has one, so it is small."""

    __slots__ = ("admitted_at", "connection", "database", "queued_at", "unspent")

    def __init__(self) -> None:
        self.queued_at = perf_counter()
        self.admitted_at: float | None = None  # when it got its slot
        self.unspent = True  # whether `first_wait` has not returned the wait yet
        self.connection = 0.0  # seconds until the pool had a connection
        self.database = 0.0  # seconds until the statements had their responses

    @property
    def slot(self) -> float:
        """Seconds until the request got its slot, or until now."""
        return (self.admitted_at or perf_counter()) - self.queued_at

    def first_wait(self) -> float:
        """Return how many seconds the request waited for its slot. Later calls return 0."""
        if self.admitted_at is None or not self.unspent:
            return 0.0
        self.unspent = False
        return self.admitted_at - self.queued_at


def summary(scope: Scope, seconds: float) -> str:
    """Return how the `seconds` of a request that ends now were spent, in milliseconds."""
    timing: RequestTiming | None = scope.get("timing")
    slot = connection = database = 0.0
    if timing is not None:  # the request reached the queue
        slot, connection, database = timing.slot, timing.connection, timing.database
    parts = {
        "slot": slot,
        "connection": connection,
        "database": database,
        "rest": max(seconds - slot - connection - database, 0.0),
    }
    return ", ".join(f"{name} {part * 1000:.1f}" for name, part in parts.items())


class SlowRequests:
    """A log of the requests that took `limit` milliseconds or more.

    Under load that may be every request. Each line would then slow the other requests further, and
    add no information. So after MAX_LINES in a second, requests are only counted.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lines = 0

    def log(self, status: int, milliseconds: float, scope: Scope) -> None:
        """Log the request of `scope`, which ends now, if it was slow."""
        if milliseconds < self._limit:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(1, self._log_the_rest)
        self._lines += 1
        if self._lines <= MAX_LINES:
            parts = summary(scope, milliseconds / 1000)
            text = "slow: %d in %.1f ms (%s)"
            logs.logger.warning(
                text, status, milliseconds, parts, extra=logs.request_context(scope)
            )

    def _log_the_rest(self) -> None:
        if self._lines > MAX_LINES:
            logs.logger.warning("slow: %d more requests within a second", self._lines - MAX_LINES)
        self._lines = 0
