"""Compare this checkout with a commit: `uv run --group bench benchmarks/baseline.py HEAD~1`.

The two versions take turns on one machine, so that other programs affect both equally. The
program prints the figures of this checkout divided by those of the commit: requests/s, and the CPU
time that a request takes in the service and in Postgres. `HEAD --python PATH` compares two
interpreters.
"""

import argparse
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import contenders
import load
from bench import Bench, Options
from closed_loop import FEW, OPERATIONS, rotations, warm_up
from instance import Instance
from population import Population
from postgres_server import Server, find_binaries
from process import clean_up_on_sigterm
from run import check_programs

POPULATION = Population(2_000, 100)
FIGURES = ("requests_per_second", "service_cpu_ms", "postgres_cpu_ms")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the version to compare with")
    parser.add_argument("--python", default=contenders.PYTHON, help="the commit's interpreter")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each round")
    parser.add_argument("--quick", action="store_true", help="one short round, to try the program")
    return parser.parse_args()


def ratios(bench: Bench, instances: list[Instance], operation: str) -> Iterator[float]:
    """Yield the median ratio of each of FIGURES, this checkout to the commit."""
    runs: dict[str, list[load.Run]] = {each.contender.name: [] for each in instances}
    for each in instances:
        bench.server.execute(each.database, "VACUUM tasks")
    for instance in rotations(instances, bench.options.rounds):
        done = load.run(bench.subject(instance), operation, FEW, bench.options.seconds)
        if done.errors:
            raise SystemExit(f"{instance.contender.title}: {operation} failed: {done.errors}")
        runs[instance.contender.name].append(done)
    for figure in FIGURES:
        pairs = zip(runs["service"], runs["baseline"], strict=True)
        yield median(getattr(this, figure) / getattr(before, figure) for this, before in pairs)


def main() -> None:
    """Print a table of the ratios."""
    chosen = arguments()
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    population = Population(100, 100) if chosen.quick else POPULATION
    rounds, seconds = (1, 1.0) if chosen.quick else (chosen.rounds, chosen.seconds)
    options = Options(rounds, seconds, population, 0, 0, 0)
    with (
        tempfile.TemporaryDirectory(prefix="baseline-") as folder,
        Server(find_binaries(None)) as server,
        ExitStack() as stack,
    ):
        service = contenders.all_contenders(Path(folder))["service"]
        baseline = contenders.at_commit(chosen.commit, Path(folder), chosen.python)
        versions = {each.name: each for each in (service, baseline)}
        bench = Bench(options, server, Path(folder), versions, secrets.token_urlsafe(32))
        for version in versions.values():
            contenders.build(version)
            bench.prepare(version, version.name, population)
        instances = [stack.enter_context(bench.instance(each)) for each in versions.values()]
        for instance in instances:
            warm_up(bench, instance)
        print(f"{'':8}  requests/s  CPU of the service  of Postgres")
        for operation in chosen.operations:
            rate, cpu, postgres_cpu = ratios(bench, instances, operation)
            print(f"{operation:8}  {rate:10.2f}  {cpu:18.2f}  {postgres_cpu:11.2f}")


if __name__ == "__main__":
    main()
