"""An even share of the connections for each worker.

The kernel assigns a new connection to any worker, and the connection stays with that worker. When a
worker dies, its clients connect to the others, and stay there after it is replaced. So a worker
that holds more than its share closes some connections after their next response, and those clients
connect again.
"""

import mmap

ABSENT = -1
# A worker may exceed its share by chance. The smaller the share, the larger the relative excess.
TOLERANCE = 1.1
SLACK = 8  # connections


class Balance:
    """How many connections each of `workers` holds, in memory that processes share."""

    def __init__(self, workers: int) -> None:
        memory = mmap.mmap(-1, workers * 4)  # anonymous, and shared with children
        self.held = memoryview(memory).cast("i")
        self.shares = [Share(self, number) for number in range(workers)]


class Share:
    """One worker's place in a Balance. The worker is absent until its first report."""

    def __init__(self, balance: Balance, number: int) -> None:
        self._balance = balance
        self._number = number
        self.leave()

    def leave(self) -> None:
        """Remove a worker that has ended from the balance."""
        self._balance.held[self._number] = ABSENT

    def report(self, connections: int) -> int:
        """Record how many connections the worker holds. Return how many are too many."""
        self._balance.held[self._number] = connections
        present = [held for held in self._balance.held if held != ABSENT]
        share = sum(present) / len(present)
        return int(connections - share) if connections > share * TOLERANCE + SLACK else 0
