"""An even share of the connections for each worker.

The kernel gives a new connection to any worker, and a connection stays where it is. So the clients
of a worker that died stay with the others when it is replaced. A worker that holds more than its
share therefore closes some connections after their next response, and their clients connect again.
"""

import mmap

ABSENT = -1
# A share is exceeded by chance too, by more in proportion the smaller it is.
TOLERANCE = 1.1
SLACK = 8  # connections


class Balance:
    """How many connections each of `workers` holds, in memory that processes share."""

    def __init__(self, workers: int) -> None:
        memory = mmap.mmap(-1, workers * 4)  # anonymous, and shared with children
        self.held = memoryview(memory).cast("i")
        self.shares = [Share(self, number) for number in range(workers)]


class Share:
    """One worker's place in a Balance. It is absent until it first reports."""

    def __init__(self, balance: Balance, number: int) -> None:
        self._balance = balance
        self._number = number
        self.leave()

    def leave(self) -> None:
        """Take the worker out of the balance, because it has ended."""
        self._balance.held[self._number] = ABSENT

    def report(self, connections: int) -> int:
        """Note that the worker holds so many connections. Return how many of them are too many."""
        self._balance.held[self._number] = connections
        present = [held for held in self._balance.held if held != ABSENT]
        share = sum(present) / len(present)
        return int(connections - share) if connections > share * TOLERANCE + SLACK else 0
