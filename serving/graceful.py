"""uvicorn's server, changed so that it loses no request when it stops.

A client may send a request on an open connection at the moment when the service is told to stop.
Closing the connection would then reset it, and the client could not know whether the request was
executed. So responses first announce that the connection will close, and connections are closed
after they have been idle for a while (RFC 9112, section 9.6).
"""

import asyncio
import ctypes
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from types import FrameType
from typing import cast

import uvicorn

from observability.logs import logger
from serving.balance import Share
from serving.orphans import Orphans
from serving.protocol import Protocol
from serving.stopping import STOP_SIGNALS

DRAIN_TIME = 1.0  # seconds in which a request may still arrive on an idle connection
HANDSHAKE_TIME = 0.3  # seconds that the handshake of a connection may take
MAX_WAITING = 8192  # connections to accept at the end, because more may keep arriving
TICK = 0.05  # seconds

SO_ATTACH_FILTER = 26  # socket(7); Linux
# A classic BPF program that drops segments with the SYN flag (in byte 13 of the TCP header).
DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


class Server(uvicorn.Server):
    """A server that tells its clients when it stops. `share` is for one of several workers.

    It calls `on_start` once clients can reach it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        share: Share | None = None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._share = share
        self._on_start = on_start
        self._orphans = Orphans()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and call `on_start` unless the application failed to start.

        Don't start if a signal arrived before uvicorn handled it.
        """
        if STOP_SIGNALS.requested:
            self.handle_exit(signal.SIGTERM, None)
            return
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop. A second signal must not interrupt the stop."""
        if not self.should_exit:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Once a second, close connections that are more than this worker's share.

        On each tick, reap an orphan if this is the first process of a container.
        """
        self._orphans.reap()
        if self._share is not None and counter % 10 == 0:
            self._rebalance(self._share)
        return await super().on_tick(counter)

    def _rebalance(self, share: Share) -> None:
        staying = [connection for connection in self._connections if not connection.closing]
        for connection in islice(staying, share.report(len(staying))):
            connection.announce_close()

    @property
    def _connections(self) -> list[Protocol]:
        return cast(list[Protocol], list(self.server_state.connections))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the requests that clients sent before they knew of the stop, then stop."""
        began = time.monotonic()
        listeners = sockets or []
        self.config.timeout_keep_alive = 1  # for connections that become idle from now on
        if any(shares_port(listener) for listener in listeners):
            await self._hand_over(listeners)
        else:
            await self._stop_accepting(listeners)
            await self._drain(DRAIN_TIME)
        if self.config.timeout_graceful_shutdown is not None:
            left = self.config.timeout_graceful_shutdown - (time.monotonic() - began)
            self.config.timeout_graceful_shutdown = max(left, TICK)  # type: ignore[assignment]
        await super().shutdown(sockets)
        # Closing the event loop waits for the threads of its executor. A new one has none.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    async def _hand_over(self, listeners: list[socket.socket]) -> None:
        """Keep accepting until clients have reached the next release, which shares the port.

        When a listener closes, the kernel resets the connections that have not been accepted. So
        for a moment before that, the kernel ignores new handshakes on this listener. The client
        repeats the handshake after one second, and reaches the other release.
        """
        await self._drain(DRAIN_TIME)
        ignore_handshakes(listeners)
        await asyncio.sleep(HANDSHAKE_TIME)
        await self._stop_accepting(listeners)
        await self._drain(HANDSHAKE_TIME)

    async def _stop_accepting(self, listeners: list[socket.socket]) -> None:
        """Accept the connections that wait in the kernel's queue, and close the listeners."""
        for _ in range(MAX_WAITING):
            if not has_waiting(listeners):
                break
            await asyncio.sleep(0)  # the event loop accepts at least one connection
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)  # the event loop registers the last connection

    async def _drain(self, seconds: float) -> None:
        """Announce the close on every connection, until none is open or time runs out."""
        if connections := self._connections:
            logger.info("Waiting for %d connection(s) to end", len(connections))
        deadline = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < deadline:
            for connection in self._connections:
                connection.announce_close()
            await asyncio.sleep(TICK)


def shares_port(listener: socket.socket) -> bool:
    """Return whether other processes may listen on the same port."""
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


def has_waiting(listeners: Iterable[socket.socket]) -> bool:
    """Return whether a connection is waiting to be accepted."""
    waiting = select.poll()
    for listener in listeners:
        waiting.register(listener, select.POLLIN)
    return bool(waiting.poll(0))


def ignore_handshakes(listeners: Iterable[socket.socket]) -> None:
    """Make the kernel drop new handshakes, and finish those that have begun (Linux only)."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in DROP_SYN))
    option = struct.pack("HL", len(DROP_SYN), ctypes.addressof(program))
    for listener in listeners if sys.platform == "linux" else ():
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)
