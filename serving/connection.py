"""The base of a connection: its transport, flow control in both directions, and its deadline."""

import asyncio
import math
import threading

from serving.memory_budget import FREE, Hold, MemoryBudget

LARGE_READ = 64 * 1024  # bytes
_buffers = threading.local()  # of the event loop of this thread


def _read_buffers() -> tuple[memoryview, memoryview]:
    """Return two buffers: one to read FREE bytes at once, and one to read LARGE_READ bytes.

    All connections of an event loop share them, because their content is copied immediately.
    """
    if not hasattr(_buffers, "views"):
        whole = memoryview(bytearray(LARGE_READ))
        _buffers.views = (whole[:FREE], whole)
    views: tuple[memoryview, memoryview] = _buffers.views
    return views


class Connection(asyncio.BufferedProtocol):
    """The base class of the protocol in protocol.py.

    It is a BufferedProtocol, which decides how much to read at once. An asyncio.Protocol receives
    up to 250 KB at once, which are in memory before they can be refused.

    One timer serves every deadline. It fires at the earliest deadline that was set, checks the
    current one, and is set again if that has not been reached.
    """

    __slots__ = (
        "_buffers",
        "_deadline",
        "_drained",
        "_held",
        "_loop",
        "_reading_paused",
        "_timer",
        "_transport",
        "_unread_response",
        "memory",
        "reserved",
        "writing_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, memory: MemoryBudget) -> None:
        self._loop = loop
        self._buffers = _read_buffers()
        self.memory = memory
        self.reserved = False  # whether more than FREE may be read at once
        self._unread_response: Hold | None = None  # what the client has not read yet
        self._transport: asyncio.Transport
        self._held = False  # whether reading stays paused
        self._reading_paused = False
        self.writing_paused = False
        self._drained: asyncio.Event | None = None
        self._deadline = math.inf  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        # `writing_paused` becomes true when more than FREE bytes are unread, and false when all of
        # them have been read.
        transport.set_write_buffer_limits(high=FREE, low=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffers[self.reserved]

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffers[self.reserved][:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:  # it would keep the connection in memory
            self._timer.cancel()
            self._timer = None
        self.resume_writing()

    def pause_writing(self) -> None:
        self.writing_paused = True
        self._unread_response = self.memory.take(self.user(), self.remaining())
        self._unread_response.watch(self.remaining, self.abort)

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._unread_response is not None:
            self._unread_response.release()
            self._unread_response = None
        if self._drained is not None:
            self._drained.set()

    def user(self) -> str:
        """Return the user whose request is being served, or an empty string."""
        raise NotImplementedError

    def remaining(self) -> int:
        """Return how many bytes of the response the client has yet to read."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        while self.writing_paused:
            self._drained = self._drained or asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._held and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Reset the connection, because the response can't be completed."""
        self._transport.abort()

    def _set_deadline(self, seconds: float) -> None:
        """Call `_expire` after `seconds`. A timer that fires earlier is left as it is."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        remaining = self._deadline - self._loop.time()
        if remaining <= 0.001:  # the clock of a timer is not exact
            self._expire()
        elif remaining < math.inf:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _clear_deadline(self) -> None:
        self._deadline = math.inf

    def _expire(self) -> None:
        """Handle a deadline that has passed."""
        raise NotImplementedError
