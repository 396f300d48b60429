"""Clients that write and read continuously, and a ledger of the responses that they received."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from tests.faults.wire import Answer, Connection, request
from tests.support.processes import frozen
from tests.support.services import sql

TASKS = "/api/alice/tasks"
SLOWEST = 8.0  # seconds: 5 for the statement, 2 for a connection, 1 for a busy machine
_numbers = itertools.count(1)


@dataclass
class Ledger:
    """The requests that were sent, and their responses. Each title is sent in one request only."""

    answers: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, int] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    dishonest: list[Answer] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds
    health: list[tuple[float, float, int]] = field(default_factory=list)
    health_broken: Counter[str] = field(default_factory=Counter)

    def note(self, got: Answer, seconds: float) -> None:
        self.answers[got.status] += 1
        self.slowest = max(self.slowest, seconds)
        if not got.is_honest:
            self.dishonest.append(got)
        elif got.status == 503:
            self.codes[got.json["code"]] += 1

    def stored(self, url: URL) -> Counter[str]:
        """Return how many times each title that was sent is in the table."""
        rows = sql(url, "SELECT title, count(*) FROM tasks GROUP BY title")
        return Counter({title: count for title, count in rows if title in self.sent})

    def healthy_after(self, moment: float) -> float:
        """Return the seconds from `moment` until /health returned 200."""
        ends = [began + took for began, took, status in self.health if status == 200]
        return min((end - moment for end in ends if end > moment), default=float("inf"))


class Load:
    """Clients in a thread. Each sends a request, reads the response, pauses, and repeats."""

    def __init__(
        self, port: int, connections: int, pause: float, writes: float, health: str
    ) -> None:
        self.ledger = Ledger()
        self._port = port
        self._connections = connections
        self._pause = pause
        self._writes = writes
        self._health = health
        self._stopping = False
        self._read = request("GET", f"{TASKS}?limit=5")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_health())
            for _ in range(self._connections):
                group.create_task(self._user())

    async def _user(self) -> None:
        connection = Connection(self._port)
        for turn in itertools.count():
            if self._stopping:
                break
            if int(turn * self._writes) != int((turn + 1) * self._writes):
                await self._write(connection)
            else:
                await self._ask(connection, self._read)
            await asyncio.sleep(self._pause)
        connection.close()

    async def _write(self, connection: Connection) -> None:
        title = f"task {next(_numbers)}"
        self.ledger.sent.add(title)
        got = await self._ask(connection, request("POST", TASKS, body={"title": title}))
        if got is not None and got.status == 201:
            self.ledger.acknowledged[title] = got.json["id"]

    async def _ask(self, connection: Connection, text: bytes) -> Answer | None:
        began = time.monotonic()
        try:
            got = await connection.ask(text)
        except (OSError, EOFError) as error:  # a TimeoutError is an OSError
            self.ledger.broken[type(error).__name__] += 1
            await asyncio.sleep(0.1)
            return None
        self.ledger.note(got, time.monotonic() - began)
        return got

    async def _watch_health(self) -> None:
        connection, text = Connection(self._port), request("GET", self._health, None)
        while not self._stopping:
            began = time.monotonic()
            try:
                got = await connection.ask(text)
            except (OSError, EOFError) as error:
                self.ledger.health_broken[type(error).__name__] += 1
            else:
                self.ledger.health.append((began, time.monotonic() - began, got.status))
            await asyncio.sleep(0.1)
        connection.close()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def load(
    port: int,
    connections: int = 20,
    pause: float = 0.02,
    writes: float = 0.6,
    health: str = "/health",
) -> Iterator[Load]:
    """Put load on the service until the context ends; then the ledger is complete."""
    users = Load(port, connections, pause, writes, health)
    users.start()
    try:
        yield users
    finally:
        users.stop()


def balance(ledger: Ledger, url: URL) -> dict[str, Any]:
    """Compare the tasks that were acknowledged with those in the table."""
    stored = ledger.stored(url)
    return {
        "acknowledged": len(ledger.acknowledged),
        "found": sum(title in stored for title in ledger.acknowledged),
        "lost": sum(title not in stored for title in ledger.acknowledged),
        "duplicated": sum(count > 1 for count in stored.values()),
        "created without a 201": sum(title not in ledger.acknowledged for title in stored),
    }


def assert_healthy_again(users: Load, came_back: float) -> dict[str, float]:
    """Let the load continue for a while; check that /health responded in time and recovered."""
    time.sleep(2)
    users.stop()
    ledger = users.ledger
    assert max(took for _, took, _ in ledger.health) < 2
    healthy = ledger.healthy_after(came_back)
    assert healthy < 5
    assert ledger.slowest < SLOWEST
    return {"seconds until healthy again": healthy}


def assert_was_unhealthy(users: Load, since: float, until: float) -> None:
    """Assert that /health returned only 503 from 2 seconds after `since` on."""
    health = users.ledger.health
    said = {status for began, took, status in health if since + 2 < began and began + took < until}
    assert said == {503}


def freeze(folder: Path, users: Load) -> dict[str, float]:
    """Freeze the Postgres of `folder` for 7 s under load; check that /health shows it."""
    with frozen(folder):
        since = time.monotonic()
        time.sleep(7)
        until = time.monotonic()
    seen = assert_healthy_again(users, time.monotonic())
    assert_was_unhealthy(users, since, until)
    return seen
