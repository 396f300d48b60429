"""A connection as such: its transport, flow control in both directions, and its deadline."""

import asyncio
import math


class Connection(asyncio.Protocol):
    """What protocol.py builds on.

    One timer serves every deadline: it fires when the earliest one would have been, looks at the
    deadline as it is by then, and is set again.
    """

    __slots__ = (
        "_deadline",
        "_drained",
        "_held",
        "_loop",
        "_reading_paused",
        "_timer",
        "_transport",
        "writing_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._held = False  # whether reading stays paused
        self._reading_paused = False
        self.writing_paused = False
        self._drained: asyncio.Event | None = None
        self._deadline = math.inf  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:  # it would keep the connection in memory
            self._timer.cancel()
            self._timer = None
        self.resume_writing()

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()

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
        """Reset the connection: the response can't be completed."""
        self._transport.abort()

    def _set_deadline(self, seconds: float) -> None:
        """Let `_expire` be called then. The timer stays where it is if it is early enough."""
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
        """End what took too long."""
        raise NotImplementedError
