"""Check whether the database's locale has upper and lower case beyond ASCII."""

import asyncio
import logging
from contextlib import suppress

import psycopg2

from postgres.probe import Probe

TIMEOUT = 1.5  # seconds
KNOWS_CASE = "SELECT lower('Ä') = 'ä'"
NO_CASE = (
    "The database's locale is C or one like it, which knows the case of A to Z alone: searches and "
    "the order of titles tell É from é. Move the tasks to a database with the locale C.UTF-8."
)

logger = logging.getLogger("tasks")


class LetterCase:
    """A check that logs one warning if searches and the order of titles can't ignore case."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._is_known = False

    async def check(self) -> None:
        """Ask the database, unless an earlier check has done so.

        Errors are ignored, because the result is only a warning. The connection may be lost, or the
        database's encoding may have no such letters.
        """
        if self._is_known:
            return
        with suppress(psycopg2.Error, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                connection = await self._probe.acquire()
                try:
                    [(knows_case,)] = await connection.fetch(KNOWS_CASE)
                finally:
                    self._probe.release(connection)
            self._is_known = True
            if not knows_case:
                logger.warning(NO_CASE)
