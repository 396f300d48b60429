"""The CPU time that a request costs the service's process, as the kernel counts it.

A busy machine makes no difference, because nothing here depends on elapsed time: each cost is
compared with that of another request in the same run.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.faults import report
from tests.support.processes import Service

TINY, SMALL, LARGE = 64, 7 * 1024, 56 * 1024  # bytes; more than 64 KiB would be refused
TIMES = 4  # each request is sent this many times, and the cheapest counts
# How many times more a byte of a large request may cost than a byte of a small one. If the cost
# grows with the square of the size, the factor is eight.
GROWTH = 3.0
# Costs per KiB, in plain requests. Below FLOOR, growth can't be told from noise: a LARGE request
# costs less than three plain ones. No request may cost more than CEILING.
FLOOR, CEILING = 0.05, 2.0
ANSWER_LIMIT = 20  # seconds


class Shape(NamedTuple):
    """A kind of request. In `of(size)`, the part under test has about `size` bytes."""

    name: str
    of: Callable[[int], bytes]

    def __str__(self) -> str:
        return self.name


class Cost(NamedTuple):
    """CPU time in µs per KiB, beyond that of a tiny request of the same shape."""

    shape: Shape
    small: float
    large: float
    status: str


def repeated(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece))


def request(
    target: bytes = b"/health/live", *headers: bytes, method: bytes = b"GET", body: bytes = b""
) -> bytes:
    """Return a request without a token. Each of `headers` is one line or several."""
    lines = (method + b" " + target + b" HTTP/1.1", b"Host: tasks", *headers, b"", body)
    return b"\r\n".join(lines)


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=ANSWER_LIMIT)


def send(connection: socket.socket, text: bytes) -> None:
    """Send `text`, or as much of it as the service accepts."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(text)


def status(connection: socket.socket) -> str:
    """Read the next response to its end, and return its status, or `closed`."""
    received = b""
    with suppress(ConnectionResetError):
        while not _is_whole(received):
            if not (part := connection.recv(65536)):
                break
            received += part
    return received[9:12].decode() or "closed"


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    _, declared, length = head.lower().partition(b"content-length: ")
    return bool(end and declared) and len(body) >= int(length.split(b"\r\n")[0])


class Meter:
    """A meter for the CPU time of the only process of `service`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._clock = (~service.process.pid << 3) | 2  # clock_getcpuclockid(3)
        self.costs: list[Cost] = []
        for _ in range(10):  # one-time work does not count
            self.spent(request())
        self.plain, _ = self.cheapest(request, 4 * TIMES)

    def seconds(self) -> float:
        """Return the CPU time of the process so far, once it is idle.

        The kernel adds a running thread's time only when the thread pauses.
        """
        for _ in range(10_000):
            before = time.clock_gettime(self._clock)
            time.sleep(0.002)
            if (now := time.clock_gettime(self._clock)) == before:
                return now
        raise AssertionError("the service is never idle")

    def spent(self, text: bytes) -> tuple[float, str]:
        """Return the CPU seconds of one request, including its connection, and the status."""
        before = self.seconds()
        with connect(self.service) as connection:
            send(connection, text)
            answered = status(connection)
        return self.seconds() - before, answered

    def cheapest(self, make: Callable[[], bytes], times: int = TIMES) -> tuple[float, str]:
        """Return the lowest cost of some requests. `make` makes each one, so they may differ."""
        return min(self.spent(make()) for _ in range(times))

    def measure(self, shape: Shape, times: int = TIMES) -> Cost:
        base, _ = self.cheapest(lambda: shape.of(TINY), times)
        small, _ = self.cheapest(lambda: shape.of(SMALL), times)
        large, answered = self.cheapest(lambda: shape.of(LARGE), times)
        cost = Cost(shape, _per_kib(small - base, SMALL), _per_kib(large - base, LARGE), answered)
        self.costs.append(cost)
        return cost

    def assert_linear(self, shape: Shape) -> None:
        """Assert that the cost grows no faster than the size, and that a KiB costs little."""
        plain = self.plain * 1e6
        cost = self.measure(shape)
        if not _is_linear(cost, plain):  # perhaps other work of the process was measured too
            self.costs.remove(cost)
            cost = self.measure(shape, 4 * TIMES)
        assert _is_linear(cost, plain), cost
        assert cost.large <= CEILING * plain, cost

    def table(self) -> str:
        """Return a table of the measured costs, the highest first."""
        head = f"{'µs of CPU per KiB, at':42} {SMALL // 1024:6} KiB {LARGE // 1024:6} KiB  status"
        lines = [
            f"{cost.shape!s:42} {cost.small:10.1f} {cost.large:10.1f}  {cost.status}"
            for cost in sorted(self.costs, key=lambda cost: -cost.large)
        ]
        return "\n".join(["", head, *lines, f"a plain request: {self.plain * 1e6:.0f} µs"])


def _is_linear(cost: Cost, plain: float) -> bool:
    return cost.large <= GROWTH * max(cost.small, FLOOR * plain)


def _per_kib(seconds: float, size: int) -> float:
    return max(seconds, 0.0) * 1e6 / (size / 1024)


@contextmanager
def measured(service: Service, done: str) -> Iterator[Meter]:
    """Yield a meter, and print its table at the end."""
    meter = Meter(service)
    yield meter
    print(meter.table())  # noqa: T201
    if not meter.costs:
        return
    worst = max(meter.costs, key=lambda cost: cost.large)
    seen = {
        "shapes": len(meter.costs),
        "µs of CPU for a plain request": meter.plain * 1e6,
        "µs per KiB at most": worst.large,
        "most expensive shape": str(worst.shape),
    }
    report.remark(
        f"{done}, of up to {LARGE // 1024} KiB, without a token",
        seen,
        "CPU time grows no faster than the size",
    )
