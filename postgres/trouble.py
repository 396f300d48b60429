"""Why a database can't be used, said once for each change of the reason."""

import asyncio
import logging

logger = logging.getLogger("tasks")


class Trouble:
    """One kind of trouble with the database: whether it is there, and its class.

    The log has one line when it begins, one when it turns into trouble of another class, and one
    when it ends, however many requests fail by it.
    """

    def __init__(self, end: str) -> None:
        """Take what the log says when it ends."""
        self._end = end
        self.kind: str | None = None

    def begin(self, kind: str, sentence: str) -> None:
        """Log trouble of the class `kind`, unless the log has it already."""
        if kind != self.kind:
            self.kind = kind
            logger.warning("The database can't be used (%s): %s", kind, sentence)

    def end(self) -> None:
        """Log that there is no trouble any more, if there was."""
        if self.kind is not None:
            self.kind = None
            logger.info(self._end)


class PassingTrouble(Trouble):
    """Trouble that no check can see, and that has ended when it was not met for a while."""

    def __init__(self, end: str, seconds: float) -> None:
        """Take what the log says when it was not met for so many seconds."""
        super().__init__(end)
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, kind: str, sentence: str) -> None:
        super().begin(kind, sentence)
        self.close()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.end)

    def close(self) -> None:
        """Wait for its end no longer."""
        if self._timer is not None:
            self._timer.cancel()
