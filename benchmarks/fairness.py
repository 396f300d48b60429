"""What greedy users cost other users: `uv run --group bench benchmarks/fairness.py`.

Ordinary users send requests on a schedule, while greedy users send them without a pause. The cases
take turns, round by round. `--baseline COMMIT` measures another commit in the same turns. Needs
Postgres' programs and wrk; takes about a minute, and two with a baseline.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import contenders
import load
from bench import Bench, Options, say
from closed_loop import warm_up
from instance import Instance
from open_loop_sections import PROGRAM
from population import Population
from postgres_server import Server, find_binaries
from process import clean_up_on_sigterm
from run import check_programs

CONNECTIONS = 200  # of each greedy user
PERIOD = 0.5  # seconds between two requests of an ordinary user
MARGIN = 1  # seconds by which the greedy users begin earlier and end later
ORDINARY = Population(50, 100)
GREEDY = Population(3, 1000, name="greedy", start=ORDINARY.users * ORDINARY.tasks)
OPTIONS = Options(2, 3, ORDINARY, 0, 0, 0)
QUICK = Options(1, 1, ORDINARY, 0, 0, 0)  # to try the program; the figures mean nothing

HEAD = """\
| | p50 ms | p95 ms | failed | greedy users, 2xx/s | refused/s |
| --- | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Case:
    """The users of the service: ordinary ones or none, and greedy ones who repeat `operation`."""

    title: str
    greedy: int = 0
    operation: str = ""
    ordinary: bool = True


CASES = (
    Case("ordinary users alone"),
    Case("beside a greedy reader", 1, "page_of_1000"),
    Case("beside a greedy writer", 1, "create"),
    Case("beside three greedy readers", 3, "page_of_1000"),
    Case("a greedy reader alone", 1, "page_of_1000", ordinary=False),
    Case("a greedy writer alone", 1, "create", ordinary=False),
)


@dataclass
class Figures:
    """The figures of one case, one item for each round."""

    p50: list[float] = field(default_factory=list)  # milliseconds, of the ordinary users
    p95: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    rates: list[list[float]] = field(default_factory=list)  # 2xx a second of each greedy user
    refused: list[float] = field(default_factory=list)  # other responses a second of all of these

    def row(self, title: str) -> str:
        """Return the medians of the rounds, as a row of the table."""
        ordinary, greedy = "– | – | –", "– | –"
        if self.p50:
            ordinary = f"{median(self.p50):.1f} | {median(self.p95):.1f} | {sum(self.failed)}"
        if self.rates:
            shares = ", ".join(f"{median(rates):.0f}" for rates in zip(*self.rates, strict=True))
            greedy = f"{shares} | {median(self.refused):.0f}"
        return f"| {title} | {ordinary} | {greedy} |"


def measure(bench: Bench, instance: Instance, case: Case, figures: Figures) -> None:
    """Run a case once."""
    with ThreadPoolExecutor() as threads:
        greedy = [
            threads.submit(run_greedy, bench, instance, number, case.operation)
            for number in range(case.greedy)
        ]
        if case.ordinary:
            time.sleep(MARGIN if greedy else 0)
            seen = run_ordinary(bench, instance)
            figures.p50.append(seen["p50_ms"])
            figures.p95.append(seen["p95_ms"])
            figures.failed.append(sum(seen["errors"].values()))
    if greedy:
        got = [each.result() for each in greedy]
        figures.rates.append([rate(each, each["requests"] - each["not_2xx"]) for each in got])
        figures.refused.append(sum(rate(each, each["not_2xx"]) for each in got))


def rate(got: Any, count: float) -> float:
    """Return `count` of a run of wrk as a number per second."""
    return float(count / got["microseconds"] * 1e6)


def run_ordinary(bench: Bench, instance: Instance) -> Any:
    """Run the ordinary users, and return their figures."""
    options = {
        "port": instance.port,
        "users": bench.users(ORDINARY.users),
        "tasks": ORDINARY.tasks,
        "stride": ORDINARY.users,
        "period": PERIOD,
        "seconds": bench.options.seconds,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return json.loads(subprocess.check_output([sys.executable, str(PROGRAM), *arguments]))


def run_greedy(bench: Bench, instance: Instance, number: int, operation: str) -> Any:
    """Run a greedy user, and return its figures."""
    subject = replace(
        bench.subject(instance), users=bench.work / f"greedy-{number}", population=GREEDY
    )
    seconds = bench.options.seconds + 2 * MARGIN
    return load.wrk(subject, operation, CONNECTIONS, seconds, statuses=False)


def prepare(bench: Bench) -> None:
    """Build the contenders, fill their databases and write the greedy users' tokens."""
    for contender in bench.contenders.values():
        contenders.build(contender)
        bench.prepare(contender, contender.name, ORDINARY, GREEDY)
    tokens = bench.work / "greedy"
    GREEDY.write_tokens(tokens, GREEDY.users, bench.secret)
    for number, line in enumerate(tokens.read_text().splitlines(keepends=True)):
        tokens.with_name(f"greedy-{number}").write_text(line)


def run(bench: Bench) -> dict[str, list[Figures]]:
    """Return the figures of each case, by contender."""
    figures = {name: [Figures() for _ in CASES] for name in bench.contenders}
    with ExitStack() as stack:
        instances = [
            stack.enter_context(bench.instance(each)) for each in bench.contenders.values()
        ]
        for instance in instances:
            warm_up(bench, instance)
        for number in range(bench.options.rounds):
            say(f"round {number + 1} of {bench.options.rounds}")
            for case in range(len(CASES)):
                for instance in instances[:: -1 if number % 2 else 1]:
                    measure(bench, instance, CASES[case], figures[instance.contender.name][case])
    return figures


def main() -> None:
    """Print a table for each contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", metavar="COMMIT", help="measure this commit too")
    parser.add_argument("--quick", action="store_true", help="one short round, to try the program")
    chosen = parser.parse_args()
    check_programs(["wrk", "uv"])
    clean_up_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="fairness-") as folder,
        Server(find_binaries(None)) as server,
    ):
        service = contenders.all_contenders(Path(folder))["service"]
        both = {"service": service}
        if chosen.baseline:
            both["baseline"] = contenders.at_commit(chosen.baseline, Path(folder))
        options = QUICK if chosen.quick else OPTIONS
        bench = Bench(options, server, Path(folder), both, secrets.token_urlsafe(32))
        prepare(bench)
        for name, of_name in run(bench).items():
            print(f"\n{both[name].title}\n\n{HEAD}")
            for case, figures in zip(CASES, of_name, strict=True):
                print(figures.row(case.title))


if __name__ == "__main__":
    main()
