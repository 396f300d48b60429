"""Tables and plots from the results."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ratios
from contenders import all_contenders
from svg import Chart
from targets import TARGETS, Results, Target

TITLES = {name: contender.title for name, contender in all_contenders(Path()).items()}
TITLES["service-2"] = "this service, 2 workers"
BUSY = 0.7  # cores; above it, the one thread of wrk may limit the figure
DISTURBED = 0.2  # cores used by other programs

INTRODUCTION = """# Benchmarks

`uv run --group bench benchmarks/run.py` writes this page; all figures are from one run, and are in
`results.json` too. [benchmarks/](../../benchmarks/README.md) describes the contenders and the
methods. A target "relative to" a build is the service's figure divided by that build's.
"""


def number(value: float) -> str:
    """Format with three significant digits, or as a whole number from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; all columns except the first are aligned to the right."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def counts(errors: dict[str, int]) -> str:
    """Return the errors by kind, in words."""
    return ", ".join(f"{count:,} × {kind}" for kind, count in errors.items()) or "0"


def targets(results: Results, chosen: Sequence[Target] = TARGETS) -> str:
    """Return the table of the targets and their figures."""
    rows = []
    for target in chosen:
        figure = target.read(results)
        bounds = [(target.least, "≥"), (target.most, "≤")]
        wanted = " and ".join(f"{sign} {number(x)}" for x, sign in bounds if x is not None)
        verdict = "not run" if figure is None else "met" if target.met(figure) else "**missed**"
        shown = "–" if figure is None else f"{figure:.2f} {target.unit}".strip()
        rows.append([target.text, f"{wanted} {target.unit}".strip(), shown, verdict])
    return "## Targets\n\n" + table(["target", "wanted", "figure", ""], rows)


def machine(results: Results) -> str:
    """Return the section about the machine."""
    lines = [f"- {key}: {value}" for key, value in results["machine"].items()]
    lines += [f"- **{sentence}**" for sentence in results.get("skipped", [])]
    return "## Machine\n\n" + "\n".join(lines) + "\n"


def ratio_table(loads: Results) -> str:
    """Return the table of the ratios. A ratio below 1 is bold."""

    def shown(figure: float | None) -> str:
        return "–" if figure is None else f"{figure:.2f}" if figure >= 1 else f"**{figure:.2f}**"

    every = ratios.of_every_peer(loads).items()
    rows = ([TITLES[name], *map(shown, figures)] for name, figures in every)
    return (
        "### This service relative to each peer\n\n"
        "The service's requests/s divided by the peer's: the median of the rounds.\n"
        "A figure below 1 is bold: the peer is faster.\n\n![Ratios](ratios.svg)\n\n"
    ) + table(["", *loads], rows)


def closed_loop(results: Results) -> str:
    """Return a table for each load, and one of the ratios."""
    loads = results["closed loop"]
    head = ["", "requests/s", "CPU process ms", "CPU Postgres ms", "RSS MB", "p50", "p95", "p99 ms"]
    keys = ["requests_per_second", "service_cpu_ms", "postgres_cpu_ms", "memory_mb"]
    keys += [f"p{percent}_ms" for percent in (50, 95, 99)]
    parts = [
        "## 64 connections without a pause\n\nCPU times are for one request.\n\n"
        "![Requests/s](throughput.svg)\n",
        ratio_table(loads),
    ]
    for operation, by_name in loads.items():
        rows = (
            [TITLES[name], *(number(run[key]) for key in keys), counts(run["errors"])]
            for name, run in by_name.items()
        )
        parts.append(f"### {operation}\n\n" + table([*head, "errors"], rows))
    return "\n".join([*parts, doubts(loads)])


def doubts(operations: dict[str, Any]) -> str:
    """Name the figures that the generator or other programs may have lowered."""
    lines = []
    for operation, by_name in operations.items():
        for name, run in by_name.items():
            place = f"{operation} of {TITLES.get(name, name)}"
            if run["generator_cores"] > BUSY:
                lines.append(f"- {place}: wrk used {run['generator_cores']:.2f} of a core")
            if run["other_cores"] > DISTURBED:
                lines.append(f"- {place}: other programs used {run['other_cores']:.2f} of a core")
    most = max(run["generator_cores"] for by in operations.values() for run in by.values())
    checked = f"wrk used {most:.2f} of a core at most"
    if not lines:
        return f"Checked: {checked}, and other programs used less than {DISTURBED}.\n"
    return f"Be careful with these figures ({checked}):\n\n" + "\n".join(lines) + "\n"


def open_loop(results: Results) -> str:
    """Return the section on users who pause between requests."""
    head = ["", "p50", "p95", "p99", "max ms", "requests", "errors", "generator late, p99 ms"]
    rows = []
    for name, run in results["open loop"].items():
        times = [number(run[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
        late = number(run["generator_late_p99_ms"])
        rows.append([TITLES[name], *times, f"{run['requests']:,}", counts(run["errors"]), late])
    return (
        "## 1,000 users who each send a request every 2 s\n\n"
        "Latency counts from the time at which a request was due.\n\n"
        "![Latency](open-loop.svg)\n\n" + table(head, rows)
    )


def thousand(results: Results) -> str:
    """Return the sections of 1,000 connections and of memory."""
    rows, sizes = [], []
    for name, run in results["1,000 connections"].items():
        rates = [number(run["throughput"][n]) for n in ("64", "1000")]
        after = "yes" if run["recovered"] else "**no**"
        errors = counts(run["errors"]["1000"])
        rows.append([TITLES[name], *rates, f"{run['ratio']:.2f}", errors, after])
        memory = run["memory"]
        both = [f"{memory[n]['rss_mb']:.0f} / {memory[n]['pss_mb']:.0f}" for n in memory]
        sizes.append([TITLES[name], *both, f"{memory['1000']['processes']}"])
    head = ["", "at 64, requests/s", "at 1,000", "ratio", "errors", "responds 2 s later"]
    return (
        "## 1,000 connections without a pause\n\n" + table(head, rows) + "\n## Memory\n\n"
        "RSS / PSS of the whole process tree, in MB of 10⁶ bytes; under load, the peak.\n\n"
        "![Memory](memory.svg)\n\n" + table(["", "idle", "64", "1,000", "processes"], sizes)
    )


def start(results: Results) -> str:
    """Return the section on start times."""
    rows = ([TITLES[name], f"{value:.2f}"] for name, value in results["start"].items())
    return "## Start to first response\n\n" + table(["", "s"], rows)


def growth(results: Results) -> str:
    """Return the section on how long a page takes."""
    rows = ([name, f"{value:.2f}"] for name, value in results["growth"].items())
    return (
        "## A page of 50\n\nOne request at a time; the cases take turns.\n\n"
        "![A page](growth.svg)\n\n" + table(["", "ms"], rows)
    )


def workers(results: Results) -> str:
    """Return the section on the mix with different numbers of workers."""
    rows = []
    for count, run in results["workers"].items():
        figures = [number(run[key]) for key in ("requests_per_second", "p95_ms", "service_cpu_ms")]
        rows.append([count, *figures, counts(run["errors"])])
    head = ["workers", "mix, requests/s", "p95 ms", "CPU service ms", "errors"]
    return "## Workers\n\n" + table(head, rows)


SECTIONS = {
    "closed loop": closed_loop,
    "open loop": open_loop,
    "1,000 connections": thousand,
    "start": start,
    "growth": growth,
    "workers": workers,
}


def charts(results: Results) -> dict[str, Chart]:
    """Return the plots of the sections that were run, by file name."""
    found = {}
    if loads := results.get("closed loop"):
        names = list(next(iter(loads.values())))
        rates = {TITLES[n]: [loads[o][n]["requests_per_second"] for o in loads] for n in names}
        found["throughput"] = Chart("64 connections", "requests/s", list(loads), rates)
        if every := ratios.of_every_peer(loads):
            title = "This service relative to each peer"
            series = {TITLES[name]: every[name] for name in every}
            found["ratios"] = Chart(title, "logarithmic", list(loads), series, True, {"1": 1})
    if users := results.get("open loop"):
        keys = ("p50_ms", "p95_ms", "p99_ms")
        times = {TITLES[n]: [run[key] for key in keys] for n, run in users.items()}
        title = "1,000 users, a request every 2 s each: latency"
        found["open-loop"] = Chart(
            title, "ms, logarithmic", ["p50", "p95", "p99"], times, True, {"50 ms": 50}
        )
    if many := results.get("1,000 connections"):
        steps = ("idle", "64", "1000")
        sizes = {TITLES[n]: [run["memory"][s]["pss_mb"] for s in steps] for n, run in many.items()}
        groups = ["idle", "64 connections", "1,000 connections"]
        found["memory"] = Chart("Proportional memory", "MB", groups, sizes, False, {"100 MB": 100})
    if pages := results.get("growth"):
        series = {"this service": list(pages.values())}
        found["growth"] = Chart("A page of 50", "ms", list(pages), series)
    return found


def write(results: Results, output: Path) -> None:
    """Write results.json, README.md and the plots."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    parts = [INTRODUCTION, machine(results), targets(results)]
    parts += [render(results) for name, render in SECTIONS.items() if results.get(name)]
    (output / "README.md").write_text("\n".join(parts))
    for name, chart in charts(results).items():
        chart.write(output / f"{name}.svg")
