"""Raw connections to the service. Bytes arrive in exactly the segments that a test names."""

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import zip_longest
from typing import NamedTuple

TIMEOUT = 5.0  # seconds for everything that is sent together
AT_ONCE = 200  # conversations at the same time
SETTLED = 100  # passes of the event loop; a response of the tests' endpoint takes a few
PING = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"


class Address(NamedTuple):
    host: str
    port: int

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self) == 0


class Received(NamedTuple):
    """Everything that the service sent on a connection, and whether it closed it."""

    data: bytes
    closed: bool


def connect(address: Address) -> socket.socket:
    """Return a connection that sends each segment at once."""
    connection = socket.create_connection(address, TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Barrier:
    """A connection that shows when the service has read everything that was sent before.

    The service reads on one event loop, which handles all ready connections in each pass. After
    the second response, a whole pass has run since those bytes arrived.
    """

    def __init__(self, address: Address) -> None:
        self.connection = connect(address)

    def wait(self, passes: int = 2) -> None:
        for _ in range(passes):
            self.connection.sendall(PING)
            received = b""
            while not received.endswith(b"}"):
                part = self.connection.recv(65536)
                assert part, "the service closed the connection of the barrier"
                received += part


def exchange(
    address: Address, conversations: Sequence[Sequence[bytes]], waits: bool = True
) -> list[Received]:
    """Send the segments of each conversation on its own connection, and return the responses.

    Wait for the service to close each connection. Unless `waits`, wait only for SETTLED passes of
    the event loop, after which no further response can come.
    """
    # Sorted by length, because a batch takes as many rounds as its longest conversation.
    order = sorted(range(len(conversations)), key=lambda index: len(conversations[index]))
    received: dict[int, Received] = {}
    for start in range(0, len(order), AT_ONCE):
        batch = order[start : start + AT_ONCE]
        came_back = _exchange(address, [conversations[index] for index in batch], waits)
        received.update(zip(batch, came_back, strict=True))
    return [received[index] for index in range(len(conversations))]


def _exchange(
    address: Address, conversations: Sequence[Sequence[bytes]], waits: bool
) -> list[Received]:
    with ExitStack() as stack:
        barrier = Barrier(address)
        stack.enter_context(barrier.connection)
        connections = [stack.enter_context(connect(address)) for _ in conversations]
        for segments in zip_longest(*conversations):
            for connection, segment in zip(connections, segments, strict=True):
                if segment:
                    send(connection, segment)
            barrier.wait()
        if not waits:
            barrier.wait(SETTLED)
        deadline = time.monotonic() + (TIMEOUT if waits else 0)
        return [receive(connection, deadline) for connection in connections]


def send(connection: socket.socket, data: bytes) -> None:
    """Send `data`, unless the service has closed the connection."""
    with suppress(OSError):
        connection.sendall(data)


def receive(connection: socket.socket, deadline: float) -> Received:
    """Return what the service sends until it closes the connection, or until the deadline.

    On Linux, a reset does not discard data that arrived before it.
    """
    data = b""
    while True:
        connection.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            part = connection.recv(65536)
        except TimeoutError:
            return Received(data, closed=False)
        except OSError:
            return Received(data, closed=True)
        if not part:
            return Received(data, closed=True)
        data += part


def bytewise(stream: bytes, most: int = 600) -> list[bytes]:
    """Split `stream` at every byte, or into `most` parts if it is longer."""
    size = -(-len(stream) // most)
    return [stream[start : start + size] for start in range(0, len(stream), size)]
