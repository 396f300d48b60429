"""Tables and a plot from the results over a network."""

from pathlib import Path
from typing import Any

from report import counts, machine, number, table, targets
from svg import Chart
from targets import NETWORK_TARGETS, Results

INTRODUCTION = """# Over a network

`uv run --group bench benchmarks/network.py` writes this page; all figures are from one run.
Postgres and the service are in two network namespaces, and a program between them delays and drops
packets ([tests/network/relay.py](../../tests/network/relay.py)). Connections use TLS and SCRAM. The
service has its default settings, except where a table or the next line says otherwise. Delays are
for a round trip.
"""
USERS = """## 1,000 users who each send a request every 2 s

Latency counts from the time at which a request was due, for refused requests too. The last three
columns help to judge the figures: *lost* is the number of packets that the network lost, *late* the
share of packets that were more than 1 ms late because the machine was busy, and *others* the number
of cores that other programs used.

![Latency](network.svg)

"""
THROUGHPUT = "## 64 connections without a pause\n\nThe mix of get, list and changes.\n\n"
POOLS = (
    "## Sizes of the pool\n\nThe same users; `10 + 20` is `DB_POOL_SIZE=10 DB_MAX_OVERFLOW=20`.\n\n"
)
INTERRUPTIONS = """## Interruptions

The same users, at 5 ms. *Slowest* is the slowest response. *Last error after* is the time from the
end of the interruption to the last failure.

Another client requests `/health` every 0.2 s. *`/health` meanwhile* counts the responses to it
during the interruption, or for 5 s if that is longer. *Its slowest* is the slowest of these
responses. *200 after* is the time from the end of the interruption to the first 200.

"""


def latency_rows(runs: Results) -> list[list[str]]:
    """Return a row for each run of the users."""
    rows = []
    for name, run in runs.items():
        times = [number(run[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
        doubts = [f"{run['network']['late_percent']:.1f} %", f"{run['other_cores']:.2f}"]
        lost = f"{run['network']['lost']:,}"
        rows.append([name, *times, f"{run['requests']:,}", counts(run["errors"]), lost, *doubts])
    return rows


LATENCY_HEAD = ["", "p50", "p95", "p99", "max ms", "requests", "errors", "lost", "late", "others"]


def users(runs: Results) -> str:
    """Return the section on users, by network."""
    return USERS + table(LATENCY_HEAD, latency_rows(runs))


def pools(runs: Results) -> str:
    """Return the section on users, by pool size."""
    return POOLS + table(LATENCY_HEAD, latency_rows(runs))


def throughput(runs: Results) -> str:
    """Return the section on throughput, by network."""
    keys = ("requests_per_second", "p50_ms", "p95_ms", "service_cpu_ms")
    rows = [
        [name, *(number(run[key]) for key in keys), counts(run["errors"])]
        for name, run in runs.items()
    ]
    head = ["", "requests/s", "p50", "p95 ms", "CPU service ms", "errors"]
    return THROUGHPUT + table(head, rows)


def interruptions(runs: Results) -> str:
    """Return the section on what failed, and when it recovered."""

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f} s"

    rows = [
        [
            name, f"{run['requests']:,}", counts(run["errors"]), seconds(run["max_ms"] / 1e3),
            seconds(run["last_failure_after_s"]), counts(run["health"]),
            seconds(run["health_slowest_s"]), seconds(run["healthy_after_s"]),
        ]
        for name, run in runs.items()
    ]  # fmt: skip
    head = ["", "requests", "errors", "slowest", "last error after", "`/health` meanwhile"]
    return INTERRUPTIONS + table([*head, "its slowest", "200 after"], rows)


SECTIONS = {
    "users": users,
    "throughput": throughput,
    "pools": pools,
    "interruptions": interruptions,
}


def chart(runs: Results) -> Chart:
    """Return the plot of latency by network."""
    keys = ("p50_ms", "p95_ms", "p99_ms")
    series: dict[str, list[Any]] = {
        key.partition("_")[0]: [run[key] for run in runs.values()] for key in keys
    }
    title = "1,000 users, a request every 2 s each: latency by network"
    groups = [f"{name}{failed(run)}" for name, run in runs.items()]
    return Chart(title, "ms, logarithmic", groups, series, True, {"200 ms": 200})


def failed(run: Results) -> str:
    """Return the share of failed requests, because a fast refusal lowers the latency."""
    share = sum(run["errors"].values()) / run["requests"] * 100
    return f", {share:.1f} % fail" if share else ""


def write(results: Results, output: Path) -> None:
    """Write network.md and network.svg."""
    output.mkdir(parents=True, exist_ok=True)
    settings = " ".join(f"`{each}`" for each in results["settings"]) or "none"
    parts = [
        f"{INTRODUCTION}\nSettings that differ from the defaults: {settings}. Each case runs for"
        f" {results['seconds']:g} s."
        f"{' This run used `--quick`, so its figures are rough.' * results['quick']}\n",
        machine(results),
        targets(results, NETWORK_TARGETS),
    ]
    parts += [render(results[name]) for name, render in SECTIONS.items() if name in results]
    (output / "network.md").write_text("\n".join(parts))
    if "users" in results:
        chart(results["users"]).write(output / "network.svg")
