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
CPU_LIMITS = {
    **{"get": 1.4, "list": 0.6, "search": 1.5, "stats": 1.1},
    **{"create": 1.9, "update": 2.0, "toggle": 1.7},
}
# The same for Postgres, which does most of the work of these two.
POSTGRES_LIMITS = {"search": 1.75, "stats": 1.35}
ATTEMPTS = 3  # for a run in which a busy machine gave one of the two no CPU time
MEMORY_LIMIT = 100  # MB of 10^6 bytes, at CONNECTIONS


def cpu_ratios(
    bench: Bench, service: Instance, floor: Instance, operation: str
) -> tuple[float, float]:
    """Return the CPU time of a request divided by the floor's, and that of Postgres for it.

    They are medians of interleaved rounds.
    """

    def run(instance: Instance) -> load.Run:
        title = f"{instance.contender.title}: {operation}"
        for _ in range(ATTEMPTS):
            done = load.run(bench.subject(instance), operation, CONNECTIONS, bench.options.seconds)
            if done.errors:
                raise SystemExit(f"{title} failed: {done.errors}")
            if done.service_cpu_ms and done.postgres_cpu_ms:
                return done
        raise SystemExit(f"{title} used no measurable CPU time, because the machine is too busy")

    rounds = [(run(service), run(floor)) for _ in range(bench.options.rounds)]
    return (
        median(ours.service_cpu_ms / its.service_cpu_ms for ours, its in rounds),
        median(ours.postgres_cpu_ms / its.postgres_cpu_ms for ours, its in rounds),
    )


def figures(bench: Bench) -> Iterator[tuple[str, float, float]]:
    """Yield each measurement with its figure and limit."""
    with ExitStack() as stack:
        both = [bench.instance(contender) for contender in bench.contenders.values()]
        service, floor = map(stack.enter_context, both)
        for operation, limit in CPU_LIMITS.items():
            of_service, of_postgres = cpu_ratios(bench, service, floor, operation)
            yield f"CPU of {operation}, relative to the floor's", of_service, limit
            if operation in POSTGRES_LIMITS:
                title = f"Postgres' CPU of {operation}, relative to the floor's"
                yield title, of_postgres, POSTGRES_LIMITS[operation]
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
