"""Delete the records of idempotency keys that are older than 24 hours.

The statements of requests don't do that, because the records belong to any user: on Citus, such a
statement would go to every shard. A deletion starts when a key arrives, not at fixed times. Without
new keys the table does not grow, and a database that suspends while it is idle must not be woken.
"""

import asyncio
from contextvars import Context
from time import monotonic

import psycopg2

from database import Database
from errors import APIError
from observability.logs import logger
from postgres.prepared import Statement

INTERVAL = 60.0  # seconds, at least, from one deletion to the next
PART = 1000  # keys to delete in one statement, which must take much less than its 5 seconds

# The time of the newest among the PART oldest expired keys, or NULL if there are none.
OLDEST = Statement(
    f"""\
SELECT max(created_at) FROM (
    SELECT created_at FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT {PART}
) AS oldest"""  # noqa: S608
)
DELETE = Statement("DELETE FROM idempotency_keys WHERE created_at <= %(last)s::timestamptz")


class ExpiredKeys:
    """A background task that deletes the expired keys of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due = 0.0
        self._deleting: asyncio.Task[None] | None = None

    def key_arrived(self) -> None:
        """Start a deletion, unless one was started within the last INTERVAL."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + INTERVAL
        # It has a context of its own, because its log lines don't belong to the request.
        self._deleting = asyncio.create_task(self._delete(), context=Context())

    async def _delete(self) -> None:
        try:
            await self._delete_all()
        except (APIError, psycopg2.Error) as error:
            reason = getattr(error, "reason", "") or type(error).__name__
            logger.warning("expired keys are not deleted yet: %s", reason)

    async def _delete_all(self) -> None:
        """Delete in parts, because as many keys may have expired as arrive in a minute."""
        session = self._database.session()
        while True:
            [(last,)] = await session.fetch(OLDEST, {}, retry=True)
            if last is None:
                return
            await session.fetch(DELETE, {"last": last}, retry=True)

    async def close(self) -> None:
        """Stop. The next process that receives a key deletes the rest."""
        if self._deleting is not None:
            self._deleting.cancel()
            await asyncio.wait([self._deleting])
