"""Limits on how many requests run and wait at once, and the order in which they run."""

import asyncio
from collections.abc import Callable
from math import inf

from errors import APIError, DatabaseUnavailable, Overloaded, TooManyRequests
from routing.fair_queue import FEW, FairQueue, Waiter
from routing.refusals import Refusals

MAX_WAIT = 2.0  # seconds
# Seconds from the arrival of a request, for a write and for a read, while the database wakes.
MAX_WAIT_TO_WAKE = (4.0, 5.0)
CHECK_PERIOD = 0.1  # seconds
# Seconds. The rate at which slots become free counts once requests have waited this long without a
# break. Users who have waited within this time count as waiting together.
MEASURED = 1.0


class Admission:
    """Limits how many requests run at once to `concurrent`, the number of connections.

    The others wait before they use much memory, and users take turns (fair_queue.py). If the rate
    of the last seconds shows that a request can't get a slot in time, it is refused immediately
    (Overloaded). At most `max_waiting` requests wait. When that many wait, and they belong to
    several users, requests of users with more than an equal share are refused (TooManyRequests). A
    semaphore with a timeout would do less, and would take a kilobyte more for each waiting request.
    Here, one timer serves all of them.
    """

    def __init__(
        self, concurrent: int, max_waiting: int, unconnected_at: Callable[[], float] = lambda: -inf
    ) -> None:
        self._concurrent = self._free = concurrent
        self._max_waiting = max_waiting
        self._unconnected_at = unconnected_at  # the last moment without any connection
        self._running: dict[str, int] = {}  # by user; a user with nothing running is not in it
        self._queue = FairQueue()
        self._timer: asyncio.TimerHandle | None = None
        # When requests began to wait (None if the last one did not wait), and the number of slots
        # that were granted since then.
        self._since: float | None = None
        self._granted = 0.0
        self._shared_until = -inf  # MEASURED after several users last waited at once
        self._refusals = Refusals()
        self.timeouts = 0

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot."""
        return self._queue.size

    @property
    def refusals(self) -> int:
        """The number of requests that were refused because too many waited."""
        return self._refusals.total

    def count_refusal(self, kind: type[APIError], user: str) -> None:
        """Count a refusal for lack of memory (serving/memory_budget.py)."""
        self._refusals.count(kind, user)

    async def acquire(self, user: str, *, is_read: bool = False, has_begun: bool = False) -> bool:
        """Get a slot, and return whether the request had to wait. `release` must follow.

        A request whose response `has_begun` can time out but is not refused, because the part that
        was already sent would be lost. Raises Overloaded or TooManyRequests, or DatabaseUnavailable
        after MAX_WAIT, which is MAX_WAIT_TO_WAKE while the database wakes.
        """
        if self.acquire_free(user):
            return False
        loop = asyncio.get_running_loop()
        try:
            if not has_begun:
                self._check(user, loop.time())
        except TooManyRequests:
            await self._refusals.delay(user)
            raise
        waiter = self._enqueue(loop, user, is_read, has_begun)
        try:
            await waiter.slot
        except asyncio.CancelledError:
            self._queue.discard(waiter)
            if _was_granted(waiter.slot):  # at the same moment
                self.release(user)
            raise
        return True

    def acquire_free(self, user: str) -> bool:
        """Get a slot if one is free, and return whether there was one."""
        if not self._free:
            return False
        self._free -= 1
        self._since = None
        self._running[user] = self._running.get(user, 0) + 1
        return True

    def release(self, user: str) -> None:
        """Release the slot of a request of `user`, which passes to the next waiting request."""
        self._granted += 1
        if self._running[user] > 1:
            self._running[user] -= 1
        else:
            del self._running[user]
        if self._queue.size and (waiter := self._queue.take(self._running)):
            self._running[waiter.user] = self._running.get(waiter.user, 0) + 1
            waiter.slot.set_result(None)
        else:
            self._free += 1

    def _enqueue(
        self, loop: asyncio.AbstractEventLoop, user: str, is_read: bool, has_begun: bool
    ) -> Waiter:
        now = loop.time()
        waiter = Waiter(user, loop.create_future(), now, is_read or has_begun, has_begun)
        self._queue.add(waiter)
        if len(self._queue.users) > 1:
            self._shared_until = now + MEASURED
        if self._timer is None:
            self._timer = loop.call_at(now + MAX_WAIT, self._expire_waiters)
        return waiter

    def _check(self, user: str, now: float) -> None:
        """Raise an error if one more request of `user` can't wait."""
        waiting, slots = self._queue.size, self._slots_in_time(now)
        if waiting < slots and waiting < self._max_waiting:
            return
        mine = len(self._queue.users.get(user, ()))
        users = len(self._queue.users) + (not mine)
        if waiting >= self._max_waiting:
            self._make_room(user, mine, max(FEW, self._max_waiting // users))
        elif (
            mine >= slots // users
            # While several users wait, a user with many requests is not refused here, even if the
            # requests may time out. A client that is refused immediately sends its request
            # again immediately, and 60 such clients left the service no time for anything else.
            and not (mine >= FEW and self._is_shared())
        ):
            self._refusals.count(Overloaded)
            raise Overloaded

    def _make_room(self, user: str, mine: int, share: int) -> None:
        """Refuse a waiting request of a user with more than `share`, or raise an error."""
        if mine >= share and self._is_shared():
            self._refusals.count(TooManyRequests, user)
            raise TooManyRequests
        waiter = self._queue.take_from_longest(share) if mine < share else None
        if waiter is None:
            self._refusals.count(Overloaded)
            raise Overloaded
        self._refusals.count(TooManyRequests, waiter.user)
        waiter.slot.set_exception(TooManyRequests())

    def _is_shared(self) -> bool:
        """Return whether requests of several users waited at once in the last MEASURED seconds."""
        return asyncio.get_running_loop().time() < self._shared_until

    def _slots_in_time(self, now: float) -> float:
        """Estimate how many slots will become free within MAX_WAIT, from the recent rate."""
        start = now if self._since is None else max(self._since, self._unconnected_at())
        if start != self._since:
            self._since, self._granted = start, 0.0
        measured = now - self._since
        if measured < MEASURED:
            return inf
        if measured > 2 * MAX_WAIT:  # so that older slots count less and less
            self._since, self._granted = now - measured / 2, self._granted / 2
        return max(self._concurrent, MAX_WAIT * self._granted / (now - self._since))

    def _expire_waiters(self) -> None:
        """Refuse the requests that have waited too long, and set the timer for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        # The longer limits apply while there is no connection, and for MAX_WAIT after that.
        is_waking = now < self._unconnected_at() + MAX_WAIT
        limits = MAX_WAIT_TO_WAKE if is_waking else (MAX_WAIT, MAX_WAIT)
        for waiter in self._queue.take_expired(now, limits):
            self.timeouts += 1
            waiter.slot.set_exception(self._expired(waiter.user, is_waking))
        if (oldest := self._queue.oldest) is not None:
            due = oldest + MAX_WAIT
            due = due if due > now else now + CHECK_PERIOD  # while the database wakes
            self._timer = loop.call_at(due, self._expire_waiters)

    def _expired(self, user: str, is_waking: bool) -> APIError:
        """Return the error for a request of `user` that got no slot in time.

        The user caused the delay if FEW or more of their other requests wait, and several users do.
        """
        left = len(self._queue.users.get(user, ()))
        if left < FEW or is_waking or not self._is_shared():
            return DatabaseUnavailable("no connection became free in time")
        self._refusals.count(TooManyRequests, user)
        return TooManyRequests()


class Slot:
    """A slot that a request of `user` has acquired, and that is released only once."""

    __slots__ = ("_admission", "_user")

    def __init__(self, admission: Admission, user: str) -> None:
        self._admission: Admission | None = admission
        self._user = user

    def release(self) -> None:
        """Release the slot, unless that was done before."""
        if self._admission is not None:
            self._admission.release(self._user)
            self._admission = None


def _was_granted(slot: asyncio.Future[None]) -> bool:
    return slot.done() and not slot.cancelled() and slot.exception() is None
