"""Compare this service with its peers: `uv run --group bench benchmarks/run.py`.

It needs uv, wrk and the programs of Postgres. Contenders whose own programs or libraries are not
installed do not run. A temporary Postgres server is started, and removed at the end. Only
the report remains, and `node_modules` in the folders of two peers.
"""

import argparse
import json
import resource
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alike
import closed_loop
import contenders
import growth
import machine
import open_loop_sections
import report
import versions
from bench import Bench, Options, say
from contenders import ROOT, Contender
from population import Population
from postgres_server import Server, find_binaries
from process import clean_up_on_sigterm

SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "closed loop": closed_loop.closed_loop,
    "open loop": open_loop_sections.open_loop,
    "1,000 connections": closed_loop.thousand,
    "start": open_loop_sections.start,
    "growth": growth.growth,
    "workers": closed_loop.scaling,
}
SLUGS = {name.replace(",", "").replace(" ", "-"): name for name in SECTIONS}
NAMES = tuple(contenders.all_contenders(Path()))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, for a first look")
    parser.add_argument("--rounds", type=int, help="for each load and contender (5)")
    parser.add_argument("--seconds", type=float, help="for each round (4)")
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--sections", nargs="+", choices=SLUGS, default=list(SLUGS))
    parser.add_argument("--postgres-bin", help="folder of initdb and postgres")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument(
        "--report-only",
        action="store_true",
        help="only write the report, from results.json",
    )
    return parser.parse_args()


def options(chosen: argparse.Namespace) -> Options:
    """Return how much to measure."""
    quick = chosen.quick
    return Options(
        rounds=chosen.rounds or (1 if quick else 5),
        seconds=chosen.seconds or (2 if quick else 4),
        population=Population(1_000 if quick else 10_000, 100),
        starts=3 if quick else 5,
        open_loop_seconds=6 if quick else 20,
        growth_rounds=50 if quick else 200,
    )


def check_programs(names: list[str]) -> None:
    """Exit with a message if a program is missing."""
    for program in names:
        if not shutil.which(program):
            raise SystemExit(f"{program} is needed and was not found.")


def select(names: list[str], work: Path) -> tuple[dict[str, Contender], list[str]]:
    """Return the named contenders that can run, and a sentence for each that can't."""
    every = contenders.all_contenders(work)
    chosen = [every[name] for name in NAMES if name in names]
    missing = {each.name: each.missing() for each in chosen}
    sentences = [
        f"{each.title} did not run: it needs Debian's {', '.join(missing[each.name])}."
        for each in chosen
        if missing[each.name]
    ]
    return {each.name: each for each in chosen if not missing[each.name]}, sentences


def measure(chosen: argparse.Namespace, server: Server, work: Path) -> dict[str, Any]:
    """Run the sections. The report is written after each one, in case the run is interrupted."""
    selected, skipped = select(chosen.contenders, work)
    bench = Bench(options(chosen), server, work, selected, secrets.token_urlsafe(32))
    results: dict[str, Any] = {
        "machine": machine.describe(server.version(), versions.fastify())
        | versions.of_peers(list(selected)),
        "skipped": skipped,
        "options": {key: str(value) for key, value in vars(bench.options).items()},
    }
    for contender in selected.values():
        contenders.build(contender)
        bench.prepare(contender, contender.name, bench.options.population)
        alike.check(bench, contender)
    for slug in chosen.sections:
        begin = time.monotonic()
        say(f"{SLUGS[slug]}:")
        results[SLUGS[slug]] = SECTIONS[SLUGS[slug]](bench)
        report.write(results, chosen.output)
        say(f"  ({time.monotonic() - begin:.0f} s)")
    return results


def main() -> None:
    """Run the benchmarks, or only render the results of the last run."""
    chosen = arguments()
    if chosen.report_only:
        report.write(json.loads((chosen.output / "results.json").read_text()), chosen.output)
        return
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Server(find_binaries(chosen.postgres_bin)) as server,
    ):
        results = measure(chosen, server, Path(folder))
    print(report.targets(results))


if __name__ == "__main__":
    main()
