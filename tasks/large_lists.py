"""Limit the memory that lists of more than CHUNK tasks take."""

from weakref import WeakSet

CHUNK = 100  # tasks to read at once if memory is short
MAX_CHUNK = 1000  # tasks to read at once otherwise
ALWAYS = 2  # lists that may be in memory at once, whatever their size: about 2 MB each
MAX_BYTES = 2 * 1024 * 1024  # of JSON, all lists together; the rows take about twice as much
UNKNOWN = 1024 * 1024  # bytes: the expected size before any list was read
DECAY = 0.9  # the expected size shrinks by this factor with each smaller list


class LargeList:
    """A list that may have more than CHUNK tasks, some of which are in memory."""

    __slots__ = ("__weakref__", "_lists", "size")

    def __init__(self, lists: "LargeLists", size: float) -> None:
        self._lists = lists
        self.size = size  # bytes; an estimate until `settle` is called

    def settle(self, size: float) -> None:
        """Set the size to that of the tasks that were read, in bytes."""
        self.size = size
        self._lists.expected = max(size, self._lists.expected * DECAY)


class LargeLists:
    """The large lists in memory. The sizes of earlier lists predict the size of the next one."""

    def __init__(self) -> None:
        self._alive: WeakSet[LargeList] = WeakSet()
        self.expected: float = UNKNOWN  # bytes

    def first_chunk(self, limit: int | None) -> tuple[int, LargeList | None]:
        """Return how many tasks to read first, and an object to keep until they have been sent.

        A page is read at once, and so are up to MAX_CHUNK tasks of a whole list. But if the lists
        in memory leave no room, only CHUNK tasks are read first, and later statements read the
        rest.
        """
        wanted = limit or MAX_CHUNK
        if wanted <= CHUNK:
            return wanted, None
        if not self._has_room():
            return CHUNK, None
        large = LargeList(self, self.expected)
        self._alive.add(large)
        return wanted, large

    def _has_room(self) -> bool:
        if len(self._alive) < ALWAYS:
            return True
        return sum(large.size for large in self._alive) + self.expected <= MAX_BYTES


large_lists = LargeLists()  # one for the process, whose memory they share
