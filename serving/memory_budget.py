"""A limit on the memory of large requests and unread responses, over all connections."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from errors import APIError, Overloaded, TooManyRequests

# Bytes. The process may use 100 MB. With 1,000 connections that have each served a request it uses
# 86 MB, or 94 MB with an issuer's keys.
BUDGET = 3 * 1024 * 1024
FREE = 2 * 1024  # bytes of a request, or of an unread response, that need no reservation
MAX_WAIT = 2.0  # seconds
MAX_WAITING = 200  # requests; each takes some 12 KB while it waits
LARGEST = 64 * 1024  # bytes of the largest request
CHECK = 0.25  # seconds between checks of the clients
STALLED = 1.0  # seconds in which a client must send or read PROGRESS while others wait for memory
PROGRESS = 8 * 1024  # bytes


class Hold:
    """Bytes of the budget that a user holds, and that must be released."""

    __slots__ = ("_budget", "_left", "_remaining", "_since", "cut_off", "size", "user")

    def __init__(self, budget: "MemoryBudget", user: str, size: int) -> None:
        self._budget = budget
        self.user = user
        self.size = size
        self.cut_off: Callable[[], None] = _nothing
        self._remaining: Callable[[], int] = int
        self._left = 0  # what was remaining at the time `_since`
        self._since = 0.0

    def watch(self, remaining: Callable[[], int], cut_off: Callable[[], None]) -> None:
        """Call `cut_off` if the client stalls while others are waiting.

        `remaining` returns how many bytes the client has yet to send or to read. `cut_off` must
        lead to the release of the memory.
        """
        self.cut_off, self._remaining = cut_off, remaining
        self._left = remaining()
        self._since = asyncio.get_running_loop().time()
        self._budget.watched[self] = None

    def settle(self, size: int) -> None:
        """Hold only `size` bytes from now on, and no longer watch the client."""
        self._budget.watched.pop(self, None)
        self.cut_off, self._remaining = _nothing, int  # no reference cycles
        self._budget.change(self.user, size - self.size)
        self.size = size

    def release(self) -> None:
        self.settle(0)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.release()

    def has_stalled(self, now: float) -> bool:
        """Return whether the client has sent or read too little in the last second."""
        left = self._remaining()
        if self._left - left >= PROGRESS:
            self._left, self._since = left, now
        return now - self._since >= STALLED


def _nothing() -> None: ...


class Waiter(NamedTuple):
    """A request of `user` that waits for `size` bytes, until `deadline` on the loop's clock."""

    user: str
    size: int
    granted: asyncio.Future[None]
    deadline: float
    holds: bool  # whether the request then holds the bytes


class MemoryBudget:
    """A budget of `total` bytes, of which one user may hold at most half. The users take turns.

    Only requests of more than FREE bytes need a grant, so small requests never wait. Up to
    MAX_WAITING requests wait, each for MAX_WAIT at most. Meanwhile, stalled clients are cut off,
    beginning with the one that has held memory for the longest time.
    """

    def __init__(
        self,
        total: int = BUDGET,
        refused: Callable[[type[APIError], str], None] = lambda kind, user: None,
    ) -> None:
        self._total = total
        self._refused = refused  # called for each refusal
        self._share = total // 2
        self.used = 0
        self._waiting = 0
        self._by_user: dict[str, int] = {}  # a user that holds nothing is not in it
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()  # the next in turn first
        self.watched: dict[Hold, None] = {}  # those whose clients may stall, the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def has_room(self, user: str, size: int) -> bool:
        """Return whether `user` may take `size` bytes now, without taking a turn from others."""
        return not self._queues and self._fits(user, size)

    def take(self, user: str, size: int) -> Hold:
        """Count bytes that are already in memory."""
        hold = Hold(self, user, size)
        self.change(user, size)
        return hold

    async def acquire(self, user: str, size: int) -> Hold:
        """Wait until `size` bytes are free, and hold them. Raises the same errors as `wait`."""
        if not self.has_room(user, size):
            await self._wait(user, size, holds=True)
            return Hold(self, user, size)
        return self.take(user, size)

    async def wait(self, user: str, size: int) -> None:
        """Wait until `size` bytes are free, without holding them.

        Raises Overloaded or TooManyRequests after MAX_WAIT.
        """
        if not self.has_room(user, size):
            await self._wait(user, size, holds=False)

    def change(self, user: str, size: int) -> None:
        """Add `size`, which may be negative, to the bytes that `user` holds."""
        self.used += size
        held = self._by_user.get(user, 0) + size
        if held:
            self._by_user[user] = held
        else:
            self._by_user.pop(user, None)
        if size < 0 and self._queues:
            self._grant()

    def _fits(self, user: str, size: int) -> bool:
        return self.used + size <= self._total and not self._exceeds_share(user, size)

    def _exceeds_share(self, user: str, size: int) -> bool:
        return self._by_user.get(user, 0) + size > self._share

    async def _wait(self, user: str, size: int, *, holds: bool) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting >= MAX_WAITING:
            self._make_room(user, size)
        waiter = Waiter(user, size, loop.create_future(), loop.time() + MAX_WAIT, holds)
        self._queues.setdefault(user, deque()).append(waiter)
        self._waiting += 1
        if self._timer is None:
            self._timer = loop.call_later(CHECK, self._check)
        try:
            await waiter.granted
        except BaseException:
            self._forget(waiter)
            raise

    def _forget(self, waiter: Waiter) -> None:
        if waiter in self._queues.get(waiter.user, ()):
            self._remove(waiter)
        granted = waiter.granted
        if waiter.holds and granted.done() and not (granted.cancelled() or granted.exception()):
            self.change(waiter.user, -waiter.size)  # the bytes were granted at the same moment

    def _make_room(self, user: str, size: int) -> None:
        """Refuse the newest request of the user with the most waiting requests, or raise."""
        greedy = max(self._queues, key=lambda each: len(self._queues[each]))
        queue = self._queues[greedy]
        if len(queue) <= len(self._queues.get(user, ())) + 1:
            raise self._refusal(user, size)
        self._refuse(queue[-1])

    def _refuse(self, waiter: Waiter) -> None:
        self._remove(waiter)
        if not waiter.granted.done():
            waiter.granted.set_exception(self._refusal(waiter.user, waiter.size))

    def _remove(self, waiter: Waiter) -> None:
        self._waiting -= 1
        self._queues[waiter.user].remove(waiter)
        if not self._queues[waiter.user]:
            del self._queues[waiter.user]

    def _grant(self) -> None:
        """Grant free bytes, beginning with the user who holds the fewest."""
        while (waiter := self._next()) and self._fits(waiter.user, waiter.size):
            self._queues.move_to_end(waiter.user)
            self._remove(waiter)
            if not waiter.granted.done():
                waiter.granted.set_result(None)
                if waiter.holds:
                    self.change(waiter.user, waiter.size)

    def _next(self) -> Waiter | None:
        """Return the request to grant next, skipping users whose share is full."""
        best, fewest = None, self._share + 1
        for user, queue in self._queues.items():
            held = self._by_user.get(user, 0)
            if held < fewest and held + queue[0].size <= self._share:
                best, fewest = queue[0], held
                if not held:
                    break
        return best

    def _check(self) -> None:
        """Refuse requests that have waited too long, and make room for the others."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._cut_off_stalled(now)
        for queue in list(self._queues.values()):
            for waiter in list(queue):
                if waiter.deadline > now:
                    break
                self._refuse(waiter)
        self._grant()
        self._timer = loop.call_later(CHECK, self._check) if self._queues else None

    def _refusal(self, user: str, size: int) -> APIError:
        is_full = self._exceeds_share(user, max(size, LARGEST))
        kind = TooManyRequests if is_full else Overloaded
        self._refused(kind, user)
        return kind()

    def _cut_off_stalled(self, now: float) -> None:
        """Cut off as many stalled clients as necessary, the oldest first."""
        wanted = sum(waiter.size for queue in self._queues.values() for waiter in queue)
        is_full = self.used + wanted > self._total
        for hold in list(self.watched):
            if wanted <= 0:
                break
            if (is_full or hold.user in self._queues) and hold.has_stalled(now):
                wanted -= hold.size
                hold.cut_off()
