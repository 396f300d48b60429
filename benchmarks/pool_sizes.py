"""Compare numbers of connections: `uv run --group bench benchmarks/pool_sizes.py`.

For each number of connections, 64 clients send the mix to a service, next to the database and 10 ms
away from it. The services take turns, round by round. Needs Postgres' programs and wrk; takes about
three minutes.
"""

import argparse
import asyncio
import multiprocessing
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import contenders
import load
import process
from bench import Bench, Options, say
from closed_loop import FEW, rotations, warm_up
from instance import Instance
from population import Population
from postgres_server import Server, find_binaries
from process import clean_up_on_sigterm
from run import check_programs

SIZES = (2, 4, 10, 30)
AWAY = 0.010  # seconds of a round trip
OPTIONS = Options(3, 4, Population(1000, 100), 0, 0, 0)
QUICK = Options(1, 1, Population(500, 10), 0, 0, 0)  # to try the program

HEAD = """\
| connections | requests/s | p50 ms | p95 ms | CPU of the service, ms | of Postgres, ms | RSS, MB |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Delay(asyncio.Protocol):
    """One direction of a connection with a delay."""

    def __init__(self, there: asyncio.Transport | None = None, port: int = 0) -> None:
        self._there, self._port = there, port
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other direction, unless this is the other one."""
        assert isinstance(transport, asyncio.Transport)
        self._here = transport
        if self._there is None:
            loop = asyncio.get_running_loop()
            opening = loop.create_connection(lambda: Delay(transport), "127.0.0.1", self._port)
            self._opening = loop.create_task(opening)
            self._opening.add_done_callback(self._opened)

    def _opened(self, opening: "asyncio.Task[tuple[asyncio.Transport, Delay]]") -> None:
        self._there = opening.result()[0]
        for data in self._early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Pass the data on after half of the round trip."""
        if self._there is None:
            self._early.append(data)
        else:
            asyncio.get_running_loop().call_later(AWAY / 2, self._there.write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other direction."""
        if self._there is not None:
            self._there.close()


def relay(port: int, target: int) -> None:
    """Forward a port to `target`, with a round trip of AWAY."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Delay(port=target), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def far_away(target: int) -> Iterator[int]:
    """Return a port that forwards to `target` with a delay."""
    port = process.free_port()
    running = multiprocessing.Process(target=relay, args=(port, target), daemon=True)
    running.start()
    try:
        yield port
    finally:
        running.kill()


def measure(bench: Bench, extra: dict[str, str]) -> None:
    """Print the table of all sizes, for one distance of the database."""
    service = bench.contenders["service"]
    settings = [extra | {"DB_POOL_SIZE": str(size), "DB_MAX_OVERFLOW": "0"} for size in SIZES]
    with ExitStack() as stack:
        instances = [stack.enter_context(bench.instance(service, extra=each)) for each in settings]
        runs: dict[int, list[load.Run]] = {each.port: [] for each in instances}
        for instance in instances:
            warm_up(bench, instance)
        for instance in rotations(instances, bench.options.rounds):
            subject = bench.subject(instance)
            runs[instance.port].append(load.run(subject, "mix", FEW, bench.options.seconds))
            say(f"  {runs[instance.port][-1].requests_per_second:8.0f} requests/s")
        print(HEAD)
        for size, instance in zip(SIZES, instances, strict=True):
            print(row(size, instance, runs[instance.port]))


def row(size: int, instance: Instance, runs: list[load.Run]) -> str:
    """Return the medians, as a row of the table."""
    seen = load.summary(runs)
    assert not seen["errors"], seen["errors"]
    memory = process.memory(instance.process.pid).rss_mb
    figures = [f"{seen[name]:.1f}" for name in ("p50_ms", "p95_ms")]
    figures += [f"{seen[name]:.2f}" for name in ("service_cpu_ms", "postgres_cpu_ms")]
    cells = [str(size), f"{seen['requests_per_second']:.0f}", *figures, f"{memory:.1f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a table for each distance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds, to try the program")
    options = QUICK if parser.parse_args().quick else OPTIONS
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="pool-sizes-") as folder,
        Server(find_binaries(None)) as server,
    ):
        service = contenders.all_contenders(Path(folder))["service"]
        bench = Bench(
            options, server, Path(folder), {"service": service}, secrets.token_urlsafe(32)
        )
        contenders.build(service)
        bench.prepare(service, "service", options.population)
        print("\nnext to the database\n")
        measure(bench, {})
        with far_away(server.port) as port:
            print(f"\n{AWAY * 1000:.0f} ms away\n")
            url = server.url("service").replace(f":{server.port}/", f":{port}/")
            measure(bench, {"DATABASE_URL": url})


if __name__ == "__main__":
    main()
