"""Count refused requests, and log them once a second."""

import asyncio
from collections import Counter

from errors import APIError, TooManyRequests
from observability.logs import logger

MAX_LINES = 10  # a second
AT_ONCE = 100  # refusals of one user within a second that are not delayed
DELAY = 1.0  # seconds, as the header Retry-After says


class Refusals:
    """The refusals of the last second.

    They are counted because a log line for each would take as long as a request. A line for
    TooManyRequests names the user.
    """

    def __init__(self) -> None:
        self.total = 0
        self._recent: Counter[tuple[type[APIError], str | None]] = Counter()

    def count(self, error: type[APIError], user: str | None = None) -> None:
        """Count one refusal."""
        if not self._recent:
            asyncio.get_running_loop().call_later(1, self._log)
        self._recent[error, user] += 1
        self.total += 1

    async def delay(self, user: str) -> None:
        """Wait for one to two seconds if `user` was refused over AT_ONCE times within a second.

        Otherwise a client that repeats refused requests immediately, on thousands of connections,
        would leave the service no time for anything except refusals. The delays differ, so that
        these requests don't all come back at the same moment.
        """
        refused = self._recent[TooManyRequests, user]
        if refused > AT_ONCE:
            await asyncio.sleep(DELAY * (1 + refused % AT_ONCE / AT_ONCE))

    def _log(self) -> None:
        for (error, user), times in self._recent.most_common(MAX_LINES):
            text = "%d %s, %d times within a second"
            logger.warning(text, error.status, error.code, times, extra={"user_id": user})
        self._recent.clear()
