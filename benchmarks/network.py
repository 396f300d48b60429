"""Measure the service far from Postgres: `uv run --group bench benchmarks/network.py`.

Needs root on Linux, Postgres' programs and wrk. It makes two network namespaces with a simulated
network between them and a temporary Postgres server, and leaves nothing behind but its report.
"""

import argparse
import resource
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import contenders
import machine
import network_report
import report
from bench import Bench, Options, say
from contenders import ROOT
from network_bench import DATABASE, NetworkBench, RemoteServer
from network_interruptions import interruptions
from network_load import NETWORKS, pools, throughput, users
from population import Population
from postgres_server import find_binaries
from process import clean_up_on_sigterm
from run import check_programs
from targets import NETWORK_TARGETS

from tests.network.link import Link, missing

SECTIONS: dict[str, Callable[[NetworkBench], dict[str, Any]]] = {
    "users": users,
    "throughput": throughput,
    "pools": pools,
    "interruptions": interruptions,
}
UNABLE = 3  # exit code when this machine can't simulate a network


def setting(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, for a first look")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--setting", action="append", default=[], type=setting, metavar="NAME=VALUE",
        help="a setting of the service; may be repeated",
    )  # fmt: skip
    parser.add_argument("--postgres-bin", help="folder of initdb and postgres")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def options(quick: bool) -> Options:
    """Return how much to measure."""
    return Options(
        rounds=1 if quick else 3,
        seconds=2 if quick else 5,
        population=Population(1_000 if quick else 10_000, 100),
        starts=0,
        open_loop_seconds=5 if quick else 20,
        growth_rounds=0,
    )


@contextmanager
def prepared(chosen: argparse.Namespace) -> Iterator[NetworkBench]:
    """Set up the network, Postgres with a full table, and the service."""
    with tempfile.TemporaryDirectory(prefix="network-") as folder, Link() as link:
        contender = contenders.all_contenders(Path(folder))["service"]
        contenders.build(contender)
        server = RemoteServer(find_binaries(chosen.postgres_bin))
        with link.inside("database"):
            server.__enter__()
        try:
            with link.inside("service"):
                bench = Bench(
                    options(chosen.quick), server, Path(folder), {DATABASE: contender},
                    secrets.token_urlsafe(32),
                )  # fmt: skip
                bench.prepare(contender, DATABASE, bench.options.population)
                settings = dict(chosen.setting)
                yield NetworkBench(bench, contender, link, settings, chosen.networks)
        finally:
            server.__exit__()


def measure(over: NetworkBench, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the sections. The report is written after each one, in case the run is interrupted."""
    described = machine.describe(over.bench.server.version(), "")
    results: dict[str, Any] = {
        "machine": {name: text for name, text in described.items() if name != "Node"},
        "settings": [f"{name}={value}" for name, value in over.settings.items()],
        "seconds": over.bench.options.open_loop_seconds,
        "quick": chosen.quick,
    }
    for name in chosen.sections:
        begin = time.monotonic()
        say(f"{name}:")
        results[name] = SECTIONS[name](over)
        network_report.write(results, chosen.output)
        say(f"  ({time.monotonic() - begin:.0f} s)")
    return results


def main() -> None:
    """Run, or print what is missing."""
    chosen = arguments()
    if sentence := missing():
        say(sentence)
        raise SystemExit(UNABLE)
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with prepared(chosen) as over:
        results = measure(over, chosen)
    print(report.targets(results, NETWORK_TARGETS))


if __name__ == "__main__":
    main()
