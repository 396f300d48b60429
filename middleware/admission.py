"""How many requests work at once, and how many may wait for that."""

import asyncio
from collections import deque
from typing import NamedTuple

from errors import DatabaseUnavailable, Overloaded

MAX_WAIT = 2.0  # seconds


class Waiting(NamedTuple):
    """A request that waits for `turn`, until the event loop's clock says `deadline`."""

    turn: asyncio.Future[None]
    deadline: float


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, before they cost much memory, and are told so when `max_waiting` wait
    already or their turn does not come in time. A semaphore with a time-out does the same at a
    kilobyte more for each that waits: here one timer serves them all, as who came first gives up
    first.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._free = concurrent
        self._max_waiting = max_waiting
        self._waiting: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        """Waits for a turn. Raises Overloaded at once, or DatabaseUnavailable after MAX_WAIT."""
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{len(self._waiting)} requests wait already")
        turn = self._enqueue()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._next()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._next()

    def _enqueue(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiting = Waiting(loop.create_future(), loop.time() + MAX_WAIT)
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = loop.call_at(waiting.deadline, self._give_up)
        return waiting.turn

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _give_up(self) -> None:
        """Tells those whose time is over, and comes again when the next one's is."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting and self._waiting[0].deadline <= loop.time():
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_exception(DatabaseUnavailable("no connection came free in time"))
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0].deadline, self._give_up)
