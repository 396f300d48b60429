"""The section with a network that fails for some time: 1,000 users, and a client of /health."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, Self

from bench import say
from network_bench import DATABASE, NetworkBench, result_of

NORMAL = {"round_trip": 5}  # ms; the service handles the load easily at this distance
BLACK_HOLE = {"reaches_database": False, "reaches_service": False}
AFTER = 10.0  # seconds of load after the interruption, longer than any timeout of the service
HEALTH_PERIOD, HEALTH_WATCHED = 0.2, 5.0  # seconds

KILL_ALL = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Interruption:
    """How the network behaves during an interruption and afterwards."""

    seconds: float
    during: dict[str, bool]
    afterwards: dict[str, bool] = field(default_factory=dict)
    ends_connections: bool = False  # whether Postgres ends all connections meanwhile


INTERRUPTIONS = {
    "black hole of 2 s": Interruption(2, BLACK_HOLE),
    "black hole of 10 s": Interruption(10, BLACK_HOLE),
    "the same, only towards Postgres": Interruption(10, {"reaches_database": False}),
    "the same, only towards the service": Interruption(10, {"reaches_service": False}),
    "black hole of 3 s, in which Postgres ends all connections": Interruption(
        3, BLACK_HOLE, ends_connections=True
    ),
    "packets of existing connections are dropped, as after a change of address": Interruption(
        0, {}, {"forgets_connections": True}
    ),
}


class Health:
    """A client that requests /health at intervals until the context ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.seen: list[tuple[float, float, int]] = []  # began, ended, status

    def _ask(self) -> None:
        while not self._done.wait(HEALTH_PERIOD):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
            began = time.monotonic()
            connection.request("GET", "/health")
            status = connection.getresponse().status
            self.seen.append((began, time.monotonic(), status))
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def figures(self, began: float, ended: float) -> dict[str, Any]:
        """Return the responses during an interruption, and the time of the first 200 after it."""
        watched = max(ended, began + HEALTH_WATCHED)
        said = Counter(str(status) for since, _, status in self.seen if began < since < watched)
        well = (until for _, until, status in self.seen if until > ended and status == 200)
        slowest = max(until - since for since, until, _ in self.seen)
        return {
            "health": dict(sorted(said.items())),
            "health_slowest_s": slowest,
            "healthy_after_s": next((until - ended for until in well), None),
        }


def interruptions(over: NetworkBench) -> dict[str, Any]:
    """Measure what users notice of each interruption."""
    quick = over.bench.options.rounds == 1
    chosen = list(INTERRUPTIONS)[-2:] if quick else INTERRUPTIONS
    return {name: _under_load(over, name, INTERRUPTIONS[name]) for name in chosen}


def _under_load(over: NetworkBench, name: str, interruption: Interruption) -> Any:
    before = over.bench.options.open_loop_seconds / 4
    with over.service() as instance, Health(instance.port) as health:
        over.link.set(**NORMAL)
        with over.users(instance, before + interruption.seconds + AFTER) as users:
            time.sleep(before)
            began, ended = _interrupt(over, interruption)
            result = result_of(users)
    last = result["last_failure"]
    result["last_failure_after_s"] = None if last is None else max(last - ended, 0)
    say(f"  {name:62} errors {result['errors']}")
    return result | health.figures(began, ended)


def _interrupt(over: NetworkBench, interruption: Interruption) -> tuple[float, float]:
    """Interrupt the network, and return when that began and ended."""
    began = time.monotonic()
    over.link.set(**NORMAL, **interruption.during)
    if interruption.ends_connections:
        with over.link.inside("database"):
            over.bench.server.execute("postgres", KILL_ALL)
    time.sleep(max(began + interruption.seconds - time.monotonic(), 0))
    over.link.set(**NORMAL, **interruption.afterwards)
    return began, time.monotonic()
