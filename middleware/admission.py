"""How many requests work at once, and how many may wait for that."""

import asyncio
from collections import deque

from errors import DatabaseUnavailable, Overloaded

MAX_WAIT = 2.0  # seconds


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, before they cost much memory, and are told so when `max_waiting` wait
    already or their turn does not come in time. A semaphore with a time-out does the same at half
    a kilobyte more for each that waits.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._free = concurrent
        self._max_waiting = max_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        """Waits for a turn. Raises Overloaded at once, or DatabaseUnavailable after MAX_WAIT."""
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{len(self._waiting)} requests wait already")
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        deadline = loop.call_later(MAX_WAIT, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._next()
            raise
        finally:
            deadline.cancel()

    async def __aexit__(self, *_: object) -> None:
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_exception(DatabaseUnavailable("no connection came free in time"))
