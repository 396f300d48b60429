"""How many requests work at once, and how many may wait for that."""

import asyncio

from errors import DatabaseUnavailable, Overloaded

MAX_WAIT = 2.0  # seconds


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, before they cost much memory, and are told so when `max_waiting` wait
    already or their turn does not come in time.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._turns = asyncio.Semaphore(concurrent)
        self._max_waiting = max_waiting
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Waits for a turn. Raises Overloaded at once, or DatabaseUnavailable after MAX_WAIT."""
        if self._turns.locked():
            await self._wait()
        else:
            await self._turns.acquire()  # does not wait

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()

    async def _wait(self) -> None:
        if self._waiting >= self._max_waiting:
            raise Overloaded(f"{self._waiting} requests wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("no connection came free in time") from None
        finally:
            self._waiting -= 1
