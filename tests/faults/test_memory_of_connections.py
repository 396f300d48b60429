"""The memory that clients without a token occupy is bounded, and is released afterwards."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import report
from tests.faults.costs import connect, repeated, request, send, status
from tests.support.processes import Service, until

CONNECTIONS = 200
SIZE = 63 * 1024  # bytes; 64 KiB may be refused
PER_CONNECTION = 128 * 1024  # bytes
PASSES = 3
# Bytes that may remain after all passes. The allocator keeps and reuses the memory of a connection
# if something lies above it in the heap; a leak, by contrast, grows with each pass.
LEFT = 24_000_000
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST
CHUNKED = (b"Transfer-Encoding: chunked", b"Content-Type: application/json")
TASKS = b"/api/alice/tasks"


# Responses that a client with large requests may receive instead; 429 and 503 if memory is short.
REFUSED = ("400", "413", "429", "431", "503", "closed")


class Left(NamedTuple):
    """What a client sends before it goes silent, and the status of the response, if any."""

    name: str
    text: bytes
    answered: str = ""

    def __str__(self) -> str:
        return self.name


def unended(*headers: bytes, path: bytes = b"/health/live") -> bytes:
    """Return a head without the end of its last line."""
    return request(path, *headers)[: -len(b"\r\n\r\n")]


def in_chunks(rest: bytes, path: bytes = TASKS, method: bytes = b"POST") -> bytes:
    return request(path, *CHUNKED, method=method, body=rest)


SHORT_LINES = repeated(b"a:b\r\n", SIZE)
HALF = (
    Left("half a head of short lines", unended(SHORT_LINES)),
    Left("half a head with a long value", unended(b"a: " + b"b" * SIZE)),
    Left("half a head with a long name", unended(b"a" * SIZE)),
    Left("half a path", b"GET /" + b"%" * SIZE),
    Left("empty lines", repeated(b"\r\n", SIZE)),
    Left("trailers", in_chunks(b"0\r\n" + SHORT_LINES), "401"),
    Left("trailers that nobody reads", in_chunks(b"0\r\n" + SHORT_LINES, b"/health/live", b"GET"),
         "200"),
    Left("a long trailer", in_chunks(b"0\r\na: " + b"b" * SIZE), "401"),
    Left("a body in chunks", in_chunks(repeated(b"1\r\n \r\n", SIZE)), "401"),
    Left("a body in chunks that nobody reads",
         in_chunks(repeated(b"1\r\n \r\n", SIZE), b"/health/live", b"GET"), "200"),
    Left("a chunk", in_chunks(b"ffff\r\n" + b" " * SIZE), "401"),
    Left("a chunk extension", in_chunks(b"1;" + b"a" * SIZE), "401"),
    Left("a body", request(TASKS, b"Content-Length: 65000", method=b"POST", body=b" " * SIZE),
         "401"),
)  # fmt: skip
WHOLE = (
    Left("a request with short lines", request(b"/health/live", SHORT_LINES[:-2]), "200"),
    Left("a request with a long value", request(b"/health/live", b"a: " + b"b" * SIZE), "200"),
    Left("a request with a long path", request(b"/" + b"%" * SIZE), "404"),
    Left("a request with a long query", request(TASKS + b"?" + b"a&" * (SIZE // 2)), "401"),
    Left("requests without a pause", request() * 16, "200"),
)


def resident(service: Service) -> int:
    """Return the resident memory of the process in bytes."""
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def files(service: Service) -> int:
    """Return how many files the process has open, including connections."""
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


@contextmanager
def staying(service: Service, left: Left, *, reset: bool = False) -> Iterator[None]:
    """Open clients that send everything, read the response, and stay; then close or reset them."""
    before = files(service)
    connections = [connect(service) for _ in range(CONNECTIONS)]
    try:
        for connection in connections:
            send(connection, left.text)
        for connection in connections:
            if left.answered:
                assert status(connection) in (left.answered, *REFUSED)
        with connect(service) as last:  # served only after everything before it has been read
            send(last, request())
            assert status(last) == "200"
        yield
    finally:
        for connection in connections:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
        until(lambda: files(service) <= before, "the service to let go of them", 30)


@pytest.fixture(scope="module")
def used(service: Service) -> Service:
    """A service that has finished its one-time allocations."""
    for _ in range(20):
        with connect(service) as connection:
            send(connection, request())
            assert status(connection) == "200"
    return service


@pytest.mark.parametrize("left", [*HALF, *WHOLE], ids=str)
def test_the_memory_of_a_connection_is_bounded_and_released(used: Service, left: Left) -> None:
    before = resident(used)
    with staying(used, left):
        kept = (resident(used) - before) / CONNECTIONS
    for reset in [False, True] * PASSES:
        with staying(used, left, reset=reset):
            pass
    after = resident(used) - before
    seen = {"bytes kept for each": int(kept), "bytes left for all": after}
    report.remark(
        f"{CONNECTIONS} clients stay connected after {left}", seen, "memory was freed afterwards"
    )
    assert kept < PER_CONNECTION
    assert after < LEFT
