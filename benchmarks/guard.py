"""Fail if a request is too expensive: `uv run --group bench benchmarks/guard.py [--quick]`.

It measures memory, and the CPU time of a request divided by that of the floor in the same run, so
the figures do not depend on how slow or busy the machine is. Needs Postgres' programs and wrk.
"""

import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import contenders
import load
from bench import Bench, Options, say
from instance import Instance
from population import Population
from postgres_server import Server, find_binaries
from process import PeakMemory, clean_up_on_sigterm
from run import check_programs

CONNECTIONS = 16
POPULATION = Population(200, 100)
OPTIONS = Options(3, 2, POPULATION, 0, 0, 0)
QUICK = Options(1, 1, POPULATION, 0, 0, 0)  # to try the program; the figures mean nothing

# The CPU time of a request may be this multiple of the floor's: two thirds more than measured.
CPU_LIMITS = {"get": 1.4, "list": 0.6, "create": 1.9, "update": 2.0, "toggle": 1.7}
MEMORY_LIMIT = 100  # MB of 10^6 bytes, at CONNECTIONS


def cpu_ratio(bench: Bench, service: Instance, floor: Instance, operation: str) -> float:
    """Return the CPU time of a request divided by the floor's: the median of interleaved rounds."""

    def milliseconds(instance: Instance) -> float:
        seconds = bench.options.seconds
        done = load.run(bench.subject(instance), operation, CONNECTIONS, seconds)
        if done.errors:
            raise SystemExit(f"{instance.contender.title}: {operation} failed: {done.errors}")
        return done.service_cpu_ms

    return median(milliseconds(service) / milliseconds(floor) for _ in range(bench.options.rounds))


def figures(bench: Bench) -> Iterator[tuple[str, float, float]]:
    """Yield each measurement with its figure and limit."""
    with ExitStack() as stack:
        both = [bench.instance(contender) for contender in bench.contenders.values()]
        service, floor = map(stack.enter_context, both)
        for operation, limit in CPU_LIMITS.items():
            ratio = cpu_ratio(bench, service, floor, operation)
            yield f"CPU of {operation}, relative to the floor's", ratio, limit
        with PeakMemory(service.process.pid) as memory:
            load.run(bench.subject(service), "mix", CONNECTIONS, bench.options.seconds)
        yield "RSS, MB", memory.peak.rss_mb, MEMORY_LIMIT


def main() -> None:
    """Print the figures, and exit with code 1 if one exceeds its limit."""
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    options = QUICK if "--quick" in sys.argv else OPTIONS
    exceeded = False
    with (
        tempfile.TemporaryDirectory(prefix="guard-") as folder,
        Server(find_binaries(None)) as server,
    ):
        every = contenders.all_contenders(Path(folder))
        chosen = {name: every[name] for name in ("service", "floor")}
        bench = Bench(options, server, Path(folder), chosen, secrets.token_urlsafe(32))
        for contender in chosen.values():
            contenders.build(contender)
            bench.prepare(contender, contender.name, options.population)
        for name, figure, limit in figures(bench):
            exceeded |= figure > limit
            say(f"{name:32} {figure:7.2f}  limit {limit:g}{'  EXCEEDED' * (figure > limit)}")
    sys.exit(exceeded and options is not QUICK)


if __name__ == "__main__":
    main()
