"""The open loop, a program of its own: users who ask on their own schedule, answered or not.

Each user has a keep-alive connection and thinks for a fixed period, so requests are due at times
that do not depend on the service. Latency counts from the moment a request was due, waiting behind
the same user's request before it included: a service that falls behind cannot hide it.
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
GRACE = 10.0  # seconds that the last requests may take


@dataclass
class Account:
    """What came of the requests. Times in seconds."""

    latencies: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)  # of the generator itself
    outcomes: Counter[str] = field(default_factory=Counter)
    last_failure: float | None = None  # on the monotonic clock, which other processes share

    def add(self, due: float, now: float, outcome: str) -> None:
        """One request that came to an end, good or bad."""
        self.latencies.append(now - due)
        self.outcomes[outcome] += 1
        if not outcome.startswith("2"):
            self.last_failure = now


class User(asyncio.Protocol):
    """One user: at most one request under way, those that fall due meanwhile wait behind it."""

    def __init__(self, line: str, options: argparse.Namespace, account: Account) -> None:
        user_id, first, token = line.split()
        self.path, self.first = f"/api/{user_id}/tasks", int(first)
        self.headers = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        self.options, self.account = options, account
        self.waiting: deque[float] = deque()  # when each was due; the first is under way
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        """Opens the connection."""
        try:
            await self.loop.create_connection(lambda: self, "127.0.0.1", self.options.port)
        except OSError:
            self.fail("refused")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends what waited for the connection."""
        self.transport = cast(asyncio.Transport, transport)
        if self.waiting:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """Counts the request that was under way as failed; the next one opens a new connection."""
        self.transport = None
        self.buffer = b""
        self.fail("closed")

    def fail(self, outcome: str) -> None:
        """Ends the request under way without an answer."""
        if self.waiting:
            self.account.add(self.waiting.popleft(), self.loop.time(), outcome)
        if self.waiting:
            self.loop.create_task(self.connect())

    def schedule(self, due: float, end: float) -> None:
        """Asks at `due` and every period after it, until `end`."""
        if due < end:
            self.loop.call_at(due, self.ask, due, end)

    def ask(self, due: float, end: float) -> None:
        """A request is due now."""
        self.account.lateness.append(self.loop.time() - due)
        self.waiting.append(due)
        if self.transport is None and len(self.waiting) == 1:
            self.loop.create_task(self.connect())
        elif len(self.waiting) == 1:
            self.send()
        self.schedule(due + self.options.period, end)

    def send(self) -> None:
        """Writes a request of the mix."""
        assert self.transport is not None
        self.transport.write(self.request(random.randrange(100)))

    def request(self, dice: int) -> bytes:
        """60 % list of 100, 20 % get, 10 % create, 5 % update, 5 % toggle."""
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
        """The bytes of a request."""
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self.headers}{content if body else ''}\r\n"
        return head.encode() + body

    def data_received(self, data: bytes) -> None:
        """Takes a part of an answer; with its last part the request is done."""
        self.buffer += data
        if not complete(self.buffer):
            return
        status, self.buffer = self.buffer[9:12].decode(), b""
        self.account.add(self.waiting.popleft(), self.loop.time(), status)
        if self.waiting and self.transport and not self.transport.is_closing():
            self.send()


def complete(answer: bytes) -> bool:
    """Whether the bytes hold a whole HTTP/1.1 answer."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def percentile(ordered: list[float], percent: float) -> float:
    """A percentile of ordered values, in milliseconds."""
    position = min(len(ordered) - 1, int(len(ordered) * percent / 100))
    return round(ordered[position] * 1e3, 2)


def report(account: Account, seconds: float) -> dict[str, object]:
    """The figures: times in milliseconds, the generator's use of the CPU in cores."""
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
    """Runs the users and prints what came of them."""
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
    parser.add_argument("--users", type=Path, required=True, help="a line for each user")
    parser.add_argument("--tasks", type=int, required=True, help="how many each user has")
    parser.add_argument("--stride", type=int, required=True, help="between two ids of one user")
    parser.add_argument("--period", type=float, default=2, help="seconds between two requests")
    parser.add_argument("--seconds", type=float, default=20)
    random.seed(1)
    uvloop.run(main(parser.parse_args()))
