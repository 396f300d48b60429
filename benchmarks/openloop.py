"""The open loop, a separate program: users who send requests on a schedule.

Each user has a keep-alive connection, and a request is due after each period, whether or not the
service has responded to the one before. Latency counts from the time at which a request was due. It
includes the wait behind the user's earlier requests, so a service that falls behind can't hide it.
Prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import re
import resource
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CREATED = b'{"title": "Water the plants", "description": "The ones on the balcony, too."}'
UPDATED = b'{"title": "Water all the plants", "completed": true}'
GRACE = 10.0  # seconds for the last requests


@dataclass
class Account:
    """The results of the requests. Times are in seconds."""

    latencies: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)  # of the generator itself
    outcomes: Counter[str] = field(default_factory=Counter)
    last_failure: float | None = None  # on the monotonic clock, which other processes share

    def add(self, due: float, now: float, outcome: str) -> None:
        """Record a request that succeeded or failed."""
        self.latencies.append(now - due)
        self.outcomes[outcome] += 1
        if not outcome.startswith("2"):
            self.last_failure = now


class User(asyncio.Protocol):
    """A user with at most one request in progress; requests that are due meanwhile wait."""

    def __init__(self, line: str, options: argparse.Namespace, account: Account) -> None:
        user_id, first, token = line.split()
        self.path, self.first = f"/api/{user_id}/tasks", int(first)
        self.headers = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        self.options, self.account = options, account
        self.waiting: deque[float] = deque()  # when each was due; the first is in progress
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        """Open the connection."""
        try:
            await self.loop.create_connection(lambda: self, "127.0.0.1", self.options.port)
        except OSError:
            self.fail("refused")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send a request that waited for the connection."""
        self.transport = cast(asyncio.Transport, transport)
        if self.waiting:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """Count the request in progress as failed. The next one opens a new connection."""
        self.transport = None
        self.buffer = b""
        self.fail("closed")

    def fail(self, outcome: str) -> None:
        """Count the request in progress as failed."""
        if self.waiting:
            self.account.add(self.waiting.popleft(), self.loop.time(), outcome)
        if self.waiting:
            self.loop.create_task(self.connect())

    def schedule(self, due: float, end: float) -> None:
        """Send a request at `due` and after each period, until `end`."""
        if due < end:
            self.loop.call_at(due, self.ask, due, end)

    def ask(self, due: float, end: float) -> None:
        """Send the request that is due now, or let it wait."""
        self.account.lateness.append(self.loop.time() - due)
        self.waiting.append(due)
        if self.transport is None and len(self.waiting) == 1:
            self.loop.create_task(self.connect())
        elif len(self.waiting) == 1:
            self.send()
        self.schedule(due + self.options.period, end)

    def send(self) -> None:
        """Write a request of the mix."""
        assert self.transport is not None
        self.transport.write(self.request(random.randrange(100)))

    def request(self, dice: int) -> bytes:
        """Return a request of the mix: 60 % list, 20 % get, 10 % create, 5 % update, 5 % toggle."""
        step = random.randrange(self.options.tasks) * self.options.stride
        task = f"{self.path}/{self.first + step}"
        if dice < 60:
            return self.format("GET", f"{self.path}?limit=100")
        if dice < 80:
            return self.format("GET", task)
        if dice < 90:
            return self.format("POST", self.path, CREATED)
        if dice < 95:
            return self.format("PUT", task, UPDATED)
        return self.format("PATCH", f"{task}/complete")

    def format(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the bytes of a request."""
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self.headers}{content if body else ''}\r\n"
        return head.encode() + body

    def data_received(self, data: bytes) -> None:
        """Receive a part of a response. With the last part, the request is complete."""
        self.buffer += data
        if not complete(self.buffer):
            return
        status, self.buffer = self.buffer[9:12].decode(), b""
        self.account.add(self.waiting.popleft(), self.loop.time(), status)
        if self.waiting and self.transport and not self.transport.is_closing():
            self.send()


def complete(response: bytes) -> bool:
    """Return whether the bytes are a whole HTTP/1.1 response."""
    head, separator, body = response.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def percentile(ordered: list[float], percent: float) -> float:
    """Return a percentile of ordered values, in milliseconds."""
    position = min(len(ordered) - 1, int(len(ordered) * percent / 100))
    return round(ordered[position] * 1e3, 2)


def report(account: Account, seconds: float) -> dict[str, object]:
    """Return the figures: times in milliseconds, CPU of the generator in cores."""
    ordered, lateness = sorted(account.latencies), sorted(account.lateness)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "requests": len(ordered),
        "p50_ms": percentile(ordered, 50),
        "p95_ms": percentile(ordered, 95),
        "p99_ms": percentile(ordered, 99),
        "max_ms": percentile(ordered, 100),
        "outcomes": dict(sorted(account.outcomes.items())),
        "errors": {k: n for k, n in account.outcomes.items() if not k.startswith("2")},
        "last_failure": account.last_failure,
        "generator_late_p99_ms": percentile(lateness, 99),
        "generator_cores": round((usage.ru_utime + usage.ru_stime) / seconds, 3),
    }


async def main(options: argparse.Namespace) -> None:
    """Run the users, and print their figures."""
    loop, account, begin = asyncio.get_running_loop(), Account(), time.perf_counter()
    lines = options.users.read_text().splitlines()
    users = [User(line, options, account) for line in lines]
    for user in users:
        await user.connect()
    start = loop.time() + 0.2
    end = start + options.seconds
    for user in users:
        user.schedule(start + random.random() * options.period, end)
    await asyncio.sleep(end - loop.time())
    while loop.time() < end + GRACE and any(user.waiting for user in users):
        await asyncio.sleep(0.05)
    for user in users:
        for due in user.waiting:
            account.add(due, loop.time(), "unanswered")
    print(json.dumps(report(account, time.perf_counter() - begin)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=Path, required=True, help="file with a line for each user")
    parser.add_argument("--tasks", type=int, required=True, help="tasks of each user")
    parser.add_argument(
        "--stride", type=int, required=True, help="distance between two ids of one user"
    )
    parser.add_argument("--period", type=float, default=2, help="seconds between two requests")
    parser.add_argument("--seconds", type=float, default=20)
    random.seed(1)
    uvloop.run(main(parser.parse_args()))
