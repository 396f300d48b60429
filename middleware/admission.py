"""How many requests work at once, and how many may wait for that."""

import asyncio
from types import TracebackType

from errors import DatabaseUnavailable, Overloaded

MAX_WAIT = 2.0  # seconds


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, outside of everything that costs memory, and are told so when too many
    wait already or their turn does not come in time.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._turns = asyncio.Semaphore(concurrent)
        self._max_waiting = max_waiting
        self.waiting = 0

    async def __aenter__(self) -> None:
        if self._turns.locked():
            await self._wait()
        else:
            await self._turns.acquire()  # does not wait

    async def _wait(self) -> None:
        if self.waiting >= self._max_waiting:
            raise Overloaded(f"{self.waiting} requests wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("no connection came free in time") from None
        finally:
            self.waiting -= 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._turns.release()
