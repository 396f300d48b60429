"""How many requests work at once, and how many may wait for that."""

import asyncio
from collections import deque
from math import inf
from typing import NamedTuple

from errors import DatabaseUnavailable, Overloaded
from logs import logger

MAX_WAIT = 2.0  # seconds
MEASURED = 1.0  # seconds of waiting in a row, before the pace of turns says anything


class Waiting(NamedTuple):
    """A request that waits for `turn`, until the event loop's clock says `deadline`."""

    turn: asyncio.Future[None]
    deadline: float


class Admission:
    """Lets `concurrent` requests in at once, as many as there are connections.

    The others wait in order, before they cost much memory. Who could not have a turn in time, at
    the pace of the last seconds, is told at once, and so is everybody when `max_waiting` wait. A
    semaphore with a time-out does less at a kilobyte more for each that waits: here one timer
    serves them all, as who came first gives up first.
    """

    def __init__(self, concurrent: int, max_waiting: int) -> None:
        self._concurrent = self._free = concurrent
        self._max_waiting = max_waiting
        self._waiting: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # How many turns there have been since a request had to wait; nothing if the last had not.
        self._since: float | None = None
        self._turns = 0.0
        self._refused = 0
        self.timeouts = 0
        self.refusals = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    async def __aenter__(self) -> bool:
        """Waits for a turn, and says whether it had to.

        Raises Overloaded at once, or DatabaseUnavailable after MAX_WAIT.
        """
        if self._free > 0:
            self._free -= 1
            self._since = None
            return False
        turn = self._enqueue(asyncio.get_running_loop())
        try:
            await turn
        except asyncio.CancelledError:
            # Its turn came in the same moment.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._next()
            raise
        return True

    async def __aexit__(self, *_: object) -> None:
        self._next()

    def _enqueue(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        now = loop.time()
        if len(self._waiting) >= min(self._max_waiting, self._turns_in_time(now)):
            self._count_refusal(loop)
            raise Overloaded
        waiting = Waiting(loop.create_future(), now + MAX_WAIT)
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = loop.call_at(waiting.deadline, self._give_up, loop)
        return waiting.turn

    def _count_refusal(self, loop: asyncio.AbstractEventLoop) -> None:
        """A line of the log for each would take as long as the request."""
        if not self._refused:
            loop.call_later(1, self._log_refusals)
        self._refused += 1
        self.refusals += 1

    def _log_refusals(self) -> None:
        logger.warning("503 OVERLOADED, %d times within a second", self._refused)
        self._refused = 0

    def _turns_in_time(self, now: float) -> float:
        """How many turns MAX_WAIT has, as far as that can be told from those that were."""
        if self._since is None:
            self._since, self._turns = now, 0.0
        measured = now - self._since
        if measured < MEASURED:
            return inf
        if measured > 2 * MAX_WAIT:  # so that what is long past counts for less and less
            self._since, self._turns = now - measured / 2, self._turns / 2
        return max(self._concurrent, MAX_WAIT * self._turns / (now - self._since))

    def _next(self) -> None:
        self._turns += 1
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tells those whose time is over, and comes again when the next one's is."""
        self._timer = None
        while self._waiting and self._waiting[0].deadline <= loop.time():
            turn = self._waiting.popleft().turn
            if not turn.done():
                self.timeouts += 1
                turn.set_exception(DatabaseUnavailable("no connection came free in time"))
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0].deadline, self._give_up, loop)
