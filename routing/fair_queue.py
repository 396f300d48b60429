"""The waiting requests in one queue for each user, so that users take turns."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import inf
from typing import NamedTuple

# This number of waiting requests is never too many for a user, because a browser opens six
# connections to a host.
FEW = 6


class Waiter(NamedTuple):
    """A request of `user` that has waited for `slot` since `since`, by the event loop's clock."""

    user: str
    slot: asyncio.Future[None]
    since: float
    is_read: bool = False
    has_begun: bool = False  # whether its response has begun: this is a later page of a whole list


class FairQueue:
    """The requests that wait for a slot.

    A user is in the queue only while one of their requests waits. The work for one request grows
    neither with the number of requests nor with the number of users.
    """

    def __init__(self) -> None:
        self.users: OrderedDict[str, deque[Waiter]] = OrderedDict()  # the next in turn first
        self._long: dict[str, deque[Waiter]] = {}  # the queues with more than FEW
        # The writes and the reads in the order of their arrival. Some may no longer wait.
        self._arrivals: tuple[deque[Waiter], deque[Waiter]] = (deque(), deque())
        self.size = 0

    def add(self, waiter: Waiter) -> None:
        """Put `waiter` behind the others of its user."""
        queue = self.users.get(waiter.user)
        if queue is None:
            queue = self.users[waiter.user] = deque()
        queue.append(waiter)
        if len(queue) > FEW:
            self._long[waiter.user] = queue
        arrivals = self._arrivals[waiter.is_read]
        _drop_finished(arrivals)
        arrivals.append(waiter)
        self.size += 1

    def take(self, running: Mapping[str, int]) -> Waiter | None:
        """Remove and return the request that is next.

        It is the oldest request of the user with the fewest requests in `running`. Among several
        such users, the one whose last turn was longest ago is next. The search ends at a user with
        nothing running, so it visits at most one user more than there are slots.
        """
        while self.users:
            user, fewest = "", inf
            for each in self.users:
                if (count := running.get(each, 0)) < fewest:
                    user, fewest = each, count
                    if not count:
                        break
            self.users.move_to_end(user)
            waiter = self.users[user].popleft()
            self._shrunk(user)
            if not waiter.slot.done():
                return waiter
        return None

    def take_from_longest(self, share: int) -> Waiter | None:
        """Remove and return the newest request of the user with the most requests.

        Do nothing if these are not more than `share`. A request whose response has begun stays,
        because its client could not tell why the response ended.
        """
        user = max(self._long, key=lambda user: len(self._long[user]), default=None)
        if user is None or len(self._long[user]) <= share:
            return None
        queue = self._long[user]
        for index in range(len(queue) - 1, -1, -1):
            if not (queue[index].has_begun or queue[index].slot.done()):
                waiter = queue[index]
                del queue[index]
                self._shrunk(user)
                return waiter
        return None

    def take_expired(self, now: float, limits: tuple[float, float]) -> Iterator[Waiter]:
        """Remove and yield the writes and the reads that have waited for longer than `limits`."""
        for arrivals, limit in zip(self._arrivals, limits, strict=True):
            _drop_finished(arrivals)
            while arrivals and arrivals[0].since + limit <= now:
                waiter = arrivals.popleft()
                self.discard(waiter)
                yield waiter
                _drop_finished(arrivals)

    @property
    def oldest(self) -> float | None:
        """The time at which the oldest request arrived."""
        return min((arrivals[0].since for arrivals in self._arrivals if arrivals), default=None)

    def discard(self, waiter: Waiter) -> None:
        """Remove `waiter` if it still waits."""
        with suppress(KeyError, ValueError):  # it no longer waits, or no request of its user does
            self.users[waiter.user].remove(waiter)
            self._shrunk(waiter.user)

    def _shrunk(self, user: str) -> None:
        self.size -= 1
        left = len(self.users[user])
        if left == FEW:
            del self._long[user]
        elif not left:
            del self.users[user]


def _drop_finished(arrivals: deque[Waiter]) -> None:
    while arrivals and arrivals[0].slot.done():
        arrivals.popleft()
