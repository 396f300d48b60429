"""Log why the database can't be used, once for each change of the reason."""

import asyncio
import logging

logger = logging.getLogger("tasks")


class Trouble:
    """A problem with the database, whose beginning and end are logged.

    The log has one line when the problem begins, one when its kind changes, and one when it ends,
    however many requests fail because of it.
    """

    def __init__(self, end: str) -> None:
        """Log `end` when the problem ends."""
        self._end = end
        self.kind: str | None = None

    def begin(self, kind: str, sentence: str) -> None:
        """Log a problem of this `kind`, unless the last line was about the same kind."""
        if kind != self.kind:
            self.kind = kind
            self._warn(sentence)

    def end(self) -> None:
        """Log that the problem has ended, if there was one."""
        if self.kind is not None:
            self.kind = None
            logger.info(self._end)

    def _warn(self, sentence: str) -> None:
        logger.warning("The database can't be used (%s): %s", self.kind, sentence)


class VersionTrouble(Trouble):
    """A problem that only keeps the service from reading the version of the schema."""

    def _warn(self, sentence: str) -> None:
        logger.warning("The schema version can't be checked (%s): %s", self.kind, sentence)


class PassingTrouble(Trouble):
    """A problem that no check can detect. It ends when it has not occurred for a while."""

    def __init__(self, end: str, seconds: float) -> None:
        """Log `end` when the problem has not occurred for `seconds`."""
        super().__init__(end)
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, kind: str, sentence: str) -> None:
        super().begin(kind, sentence)
        self.close()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.end)

    def close(self) -> None:
        """Stop waiting for the end of the problem."""
        if self._timer is not None:
            self._timer.cancel()
