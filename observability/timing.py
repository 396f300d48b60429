"""Where the time of a request goes, and the line that is logged of a slow one."""

import asyncio
from time import perf_counter

from starlette.types import Scope

from observability import logs

MAX_LINES = 10  # a second


class Times:
    """What one request waited for. It lives as long as the request, so it is small."""

    __slots__ = ("asked", "connection", "database", "granted")

    def __init__(self) -> None:
        self.asked = perf_counter()  # for its turn
        self.granted: float | None = None
        self.connection = 0.0  # seconds until a connection was lent
        self.database = 0.0  # seconds until the statements were answered


def summary(scope: Scope, seconds: float) -> str:
    """Where the `seconds` of a request that ends now went, in milliseconds."""
    times: Times | None = scope.get("times")
    turn = connection = database = 0.0
    if times is not None:  # it came as far as to ask for a turn, and perhaps no further
        turn = (perf_counter() if times.granted is None else times.granted) - times.asked
        connection, database = times.connection, times.database
    parts = {
        "turn": turn,
        "connection": connection,
        "database": database,
        "rest": max(seconds - turn - connection - database, 0.0),
    }
    return ", ".join(f"{name} {part * 1000:.1f}" for name, part in parts.items())


class SlowRequests:
    """Logs the requests that took `limit` milliseconds or more.

    Under load that may be all of them. Each line would make the others slower still, and say no
    more: of MAX_LINES in a second on they are counted.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lines = 0

    def log(self, status: int, milliseconds: float, scope: Scope) -> None:
        """Logs the request of `scope`, which ends now, if it was slow."""
        if milliseconds < self._limit:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(1, self._start_anew)
        self._lines += 1
        if self._lines <= MAX_LINES:
            parts = summary(scope, milliseconds / 1000)
            text = "slow: %d in %.1f ms (%s)"
            logs.logger.warning(text, status, milliseconds, parts, extra=logs.about(scope))

    def _start_anew(self) -> None:
        if self._lines > MAX_LINES:
            logs.logger.warning("slow: %d more requests within a second", self._lines - MAX_LINES)
        self._lines = 0
