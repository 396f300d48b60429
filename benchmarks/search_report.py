"""Tables and a plot of the cost of a search."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import machine, number, table, targets
from search_data import LENGTHS, LONG, SHORT, WITH, WITHOUT
from svg import Chart
from targets import SEARCH_TARGETS, Results

DRAWN = ("no match", "rare match", "page of 50 by one letter")

INTRODUCTION = """# Search

`uv run --group bench benchmarks/search.py` writes this page; all figures are from one run. The
table holds the tasks of the measured users among {others:,} tasks of other users, who have 100
each. Words are random syllables, and a title has three words. Times are planning and execution in
Postgres, from `EXPLAIN ANALYZE`: medians of {rounds} rounds. The cases take turns, and so do two
databases, one with the index of `migrations/search.sql` and one without. Both are in memory. The
times do not include sending the rows, or the work of the service.
"""
READS = """## Search and stats

A description has 80 or 1,000 characters. "Rows" is the number of rows of the table, or entries of
an index, that Postgres read. "Index" says whether the plan used the index of
`migrations/search.sql`, in the database that has it. A rare match is a text that three tasks of the
user contain. If Postgres reads in parallel, its count is a few rows off, because it rounds the rows
of each process.

![Search](search.svg)

"""
WRITES = """## Changes

CPU time of Postgres for one change, in µs, with a prepared statement, without and with the index.
The user has {size:,} tasks. An update changes the title.

"""
PAYS = """## When the index pays off

A search that finds nothing saves as much time as the index adds to this many toggles.

"""


def index(results: Results) -> str:
    """Return the section on the size and build time of the index."""
    of = results["index"]
    mb = {name: f"{of[name] / 1e6:,.0f} MB" for name in ("index", "table", "others")}
    return (
        f"## The index\n\nIt took {of['s']:.0f} s to create, with Postgres' default"
        f" `maintenance_work_mem` of 64 MB. Its size is {mb['index']}. The table has"
        f" {of['rows']:,} rows and {mb['table']}, its other indexes {mb['others']}.\n"
    )


def read_rows(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield a row for each case."""
    for run in runs:
        without, with_it = run[WITHOUT], run[WITH]
        times = [number(each["ms"]) for each in (without, with_it)]
        counts = [f"{each['rows']:,}" for each in (without, with_it)]
        used = "yes" if with_it["used"] else "no"
        length = f"{LENGTHS[run['kind']]:,}"
        yield [run["case"], length, f"{run['size']:,}", *times, *counts, used]


def reads(results: Results) -> str:
    """Return the section on searches and stats."""
    head = ["", "description", "tasks", "without, ms", "with, ms", "rows without", "with", "index"]
    return READS + table(head, read_rows(results["reads"]))


def writes(results: Results) -> str:
    """Return the section on changes."""
    rows = [
        [
            *(name, f"{LENGTHS[kind]:,}", number(run[WITHOUT]), number(run[WITH])),
            f"{run[WITH] / run[WITHOUT]:.1f}",
        ]
        for kind, of_kind in results["writes"].items()
        for name, run in of_kind.items()
    ]
    sizes = sorted({run["size"] for run in results["reads"]})
    head = ["", "description", "without", "with", "ratio"]
    return WRITES.format(size=sizes[-2]) + table(head, rows)


def pays(results: Results) -> str:
    """Return how many toggles cost what one search saves."""
    rows = []
    for run in results["reads"]:
        toggle = results["writes"].get(run["kind"], {}).get("toggle")
        if toggle and run["case"] == "no match":
            saved = (run[WITHOUT]["ms"] - run[WITH]["ms"]) * 1e3
            extra = toggle[WITH] - toggle[WITHOUT]
            sizes = f"{LENGTHS[run['kind']]:,}", f"{run['size']:,}"
            rows.append([*sizes, f"{max(saved, 0) / extra:,.1f}"])
    return PAYS + table(["description", "tasks", "toggles"], rows)


def chart(results: Results) -> Chart:
    """Return the plot of searches, by the tasks of the user and by the matches."""
    drawn = [
        run
        for kind in (SHORT, LONG)
        for name in DRAWN
        for run in results["reads"]
        if (run["kind"], run["case"]) == (kind, name)
    ]
    groups = [
        f"{run['size']:,}{' long' * (run['kind'] == LONG)}, {run['case'].split(' by')[0]}"
        for run in drawn
    ]
    names = {WITHOUT: "without the index", WITH: "with it"}
    series: dict[str, list[float | None]] = {
        title: [run[name]["ms"] for run in drawn] for name, title in names.items()
    }
    return Chart("Time of a search, by tasks of the user", "ms, logarithmic", groups, series, True)


def write(results: Results, output: Path) -> None:
    """Write search.json, search.md and search.svg."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "search.json").write_text(json.dumps(results, indent=2) + "\n")
    quick = "\nThis run used `--quick`, so its figures are rough.\n" * results["quick"]
    parts = [
        INTRODUCTION.format(**results) + quick,
        machine({"machine": results["machine"] | {"load after": results["load after"]}}),
        targets(results, SEARCH_TARGETS),
        reads(results),
        index(results),
        writes(results),
        pays(results),
    ]
    (output / "search.md").write_text("\n".join(parts))
    chart(results).write(output / "search.svg")
