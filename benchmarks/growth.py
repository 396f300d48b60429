"""How the time of a page of 50 depends on the user's tasks, the table's size and the page."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, cycle
from statistics import median
from typing import Any

from bench import Bench, say
from instance import Instance
from openloop import complete
from population import Population, token

PAGE = 50
DEEP = 1000  # number of the deep page
BLOCK = 5  # requests of one case in a row
COUNTS = (10, 100, 1_000, 100_000)  # tasks of one user
LARGE, SMALL = Population(10_000, 100), Population(100, 100)  # 10⁶ rows and 10⁴


class Client:
    """A keep-alive connection, with one request at a time."""

    def __init__(self, instance: Instance, secret: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", instance.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.secret = secret

    def request(self, user_id: str, cursor: str | None = None) -> bytes:
        """Return the bytes of a request for a page."""
        query = f"limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
        return (
            f"GET /api/{user_id}/tasks?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token(user_id, self.secret)}\r\n\r\n"
        ).encode()

    def ask(self, request: bytes) -> bytes:
        """Return the whole response, which must be a 200."""
        self.socket.sendall(request)
        response = self.socket.recv(1 << 20)
        while not complete(response):
            response += self.socket.recv(1 << 20)
        if not response.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a page was refused: {response[:500]!r}")
        return response

    def milliseconds(self, request: bytes) -> float:
        """Return the time of the response in milliseconds."""
        begin = time.perf_counter()
        self.ask(request)
        return (time.perf_counter() - begin) * 1e3

    def deep_request(self, user_id: str) -> bytes:
        """Return the request for the deep page, found by following the cursors."""
        request = self.request(user_id)
        for _ in range(DEEP - 1):
            body = json.loads(self.ask(request).partition(b"\r\n\r\n")[2])
            request = self.request(user_id, body["next_cursor"])
        return request

    def requests(self, population: Population) -> list[bytes]:
        """Return requests for the first pages of 100 users."""
        return [self.request(population.user_id(person)) for person in population.sample(100)]


def heavy_users() -> list[Population]:
    """Return a user for each count, with ids after those of the large table."""
    starts = accumulate(COUNTS, initial=LARGE.users * LARGE.tasks)
    return [Population(1, n, f"heavy{n}-", at) for n, at in zip(COUNTS, starts, strict=False)]


@contextmanager
def clients(bench: Bench) -> Iterator[tuple[Client, Client]]:
    """Return clients of the service on a table of 10⁶ rows, with heavy users, and one of 10⁴."""
    service = bench.contenders["service"]
    bench.prepare(service, "growth-large", LARGE, *heavy_users())
    bench.prepare(service, "growth-small", SMALL)
    with (
        bench.instance(service, "growth-large") as in_large,
        bench.instance(service, "growth-small") as in_small,
    ):
        yield Client(in_large, bench.secret), Client(in_small, bench.secret)


def growth(bench: Bench) -> dict[str, Any]:
    """Return the median milliseconds of each case. The cases take turns."""
    if "service" not in bench.contenders:
        return {}
    with clients(bench) as (large, small):
        heaviest = heavy_users()[-1].user_id(1)
        cases = {
            f"user of {user.tasks:,} tasks": (large, [large.request(user.user_id(1))])
            for user in heavy_users()
        }
        cases[f"the last at page {DEEP:,}"] = (large, [large.deep_request(heaviest)])
        tables = {
            "table of 1,000,000 rows": (large, large.requests(LARGE)),
            "table of 10,000 rows": (small, small.requests(SMALL)),
        }
        # Measured separately, so that each process gets the same number of turns.
        rounds = bench.options.growth_rounds
        times = measure(cases, rounds) | measure(tables, rounds)
    return {name: round(median(values), 4) for name, values in times.items()}


def measure(cases: dict[str, tuple[Client, list[bytes]]], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each request. A case sends BLOCK requests in its turn.

    The first one does not count, because another process has filled the processor's caches.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    turns = {name: cycle(requests) for name, (_, requests) in cases.items()}
    for _ in range(rounds):
        for name, (client, _) in cases.items():
            block = [client.milliseconds(next(turns[name])) for _ in range(BLOCK)]
            times[name] += block[1:]
    for name, values in times.items():
        say(f"  {name:25} {median(values):.2f} ms")
    return times
