"""Delete the records of an `Idempotency-Key` that are older than 24 hours.

They are of any user, so no statement of a request may delete them: on Citus it would ask each
shard. They are deleted while keys arrive, and not by the clock, because only then there are more of
them, and because a database that suspends when nobody uses it must not be woken.
"""

import asyncio
from contextvars import Context
from time import monotonic

import psycopg2

from database import Database
from errors import APIError
from observability.logs import logger

INTERVAL = 60.0  # seconds, at least, from one deletion to the next
PART = 1000  # keys to delete in one statement, which must take much less than its 5 seconds

# The time of the last of the PART oldest that are expired, or NULL.
OLDEST = f"""\
SELECT max(created_at) FROM (
    SELECT created_at FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT {PART}
) AS oldest"""  # noqa: S608
DELETE = "DELETE FROM idempotency_keys WHERE created_at <= %(last)s::timestamptz"


class ExpiredKeys:
    """Deletes the expired keys of one database, beside the requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due = 0.0
        self._deleting: asyncio.Task[None] | None = None

    def key_arrived(self) -> None:
        """Begin to delete, unless that was begun within the last INTERVAL."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + INTERVAL
        # In a context of its own: its lines in the log are not the request's.
        self._deleting = asyncio.create_task(self._delete(), context=Context())

    async def _delete(self) -> None:
        try:
            await self._delete_all()
        except (APIError, psycopg2.Error) as error:
            reason = getattr(error, "reason", "") or type(error).__name__
            logger.warning("expired keys are not deleted yet: %s", reason)

    async def _delete_all(self) -> None:
        """Delete part after part: as many keys may have expired as arrived in a minute."""
        session = self._database.session()
        while True:
            [(last,)] = await session.fetch(OLDEST, {}, retry=True)
            if last is None:
                return
            await session.fetch(DELETE, {"last": last}, retry=True)

    async def close(self) -> None:
        """Stop. What is left is deleted by the next process to which a key comes."""
        if self._deleting is not None:
            self._deleting.cancel()
            await asyncio.wait([self._deleting])
