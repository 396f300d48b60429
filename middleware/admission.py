"""How many requests work at once, and how many may wait for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from errors import DatabaseUnavailable, Overloaded

MAX_WAIT = 2.0  # seconds


class Turn:
    """The right to work, from `Admission.turn`; it ends once, at the latest with its context."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns: asyncio.Semaphore | None = turns

    def end(self) -> None:
        """Lets the next request in."""
        if self._turns is not None:
            self._turns.release()
            self._turns = None


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, before they cost much memory, and are told so when `max_waiting` wait
    already or their turn does not come in time.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._turns = asyncio.Semaphore(concurrent)
        self._max_waiting = max_waiting
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Waits for a turn. Raises Overloaded at once, or DatabaseUnavailable after MAX_WAIT."""
        if self._turns.locked():
            await self._wait()
        else:
            await self._turns.acquire()  # does not wait
        turn = Turn(self._turns)
        try:
            yield turn
        finally:
            turn.end()

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
