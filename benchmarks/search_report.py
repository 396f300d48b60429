"""Tables and a plot of what a search costs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import machine, number, table
from search_data import LENGTHS, LONG, SHORT, WITH, WITHOUT
from svg import Chart
from targets import Results

DRAWN = ("no match", "rare match", "page of 50 by one letter")

INTRODUCTION = """# Search

Written by `uv run --group bench benchmarks/search.py`, all from one run. One table holds
{others:,} tasks of others, 100 each, and the tasks of the users that are measured, scattered among
them. Words are random syllables, and a title has three. Times are planning and execution in
Postgres, from `EXPLAIN ANALYZE`: medians of {rounds} rounds. The cases, and a database without and
one with the index of `migrations/search.sql`, take turns. All tables are in memory. The times leave
out what it takes to send the rows, and what the service does.
"""
READS = """## Search and stats

A description has 80 characters or 1,000. "Rows" are what Postgres read, of the table or of an index
alone. "Index" says whether the plan used the index of `migrations/search.sql` where there was one.
A rare match is in three tasks of the user. Where Postgres reads in parallel, its count is a few
rows off, because it rounds the rows of each process.

![Search](search.svg)

"""
WRITES = """## Changes

CPU time of Postgres for one change with a prepared statement, in µs, without and with the index.
The user has {size:,} tasks. An update changes the title.

"""
PAYS = """## From where on the index pays

The number of toggles whose extra cost is what one search saves that finds nothing.

"""


def index(results: Results) -> str:
    """Size and time of the index."""
    of = results["index"]
    mb = {name: f"{of[name] / 1e6:,.0f} MB" for name in ("index", "table", "others")}
    return (
        f"## The index\n\nIt took {of['s']:.0f} s to create, with Postgres' default"
        f" `maintenance_work_mem` of 64 MB. It has {mb['index']}, beside a table of"
        f" {mb['table']} with {of['rows']:,} rows and other indexes of {mb['others']}.\n"
    )


def read_rows(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for each case."""
    for run in runs:
        without, with_it = run[WITHOUT], run[WITH]
        times = [number(each["ms"]) for each in (without, with_it)]
        counts = [f"{each['rows']:,}" for each in (without, with_it)]
        used = "yes" if with_it["used"] else "no"
        length = f"{LENGTHS[run['kind']]:,}"
        yield [run["case"], length, f"{run['size']:,}", *times, *counts, used]


def reads(results: Results) -> str:
    """The searches and the stats."""
    head = ["", "description", "tasks", "without, ms", "with, ms", "rows without", "with", "index"]
    return READS + table(head, read_rows(results["reads"]))


def writes(results: Results) -> str:
    """The changes."""
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
    """What a search saves, in changes."""
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
    """The time of a search by what it finds, and by the tasks of the user."""
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
    return Chart("A search, by tasks of the user", "ms, logarithmic", groups, series, True)


def write(results: Results, output: Path) -> None:
    """Writes search.json, search.md and search.svg."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "search.json").write_text(json.dumps(results, indent=2) + "\n")
    quick = "\nThis is a run with `--quick`: its figures are rough.\n" * results["quick"]
    parts = [
        INTRODUCTION.format(**results) + quick,
        machine({"machine": results["machine"] | {"load after": results["load after"]}}),
        reads(results),
        index(results),
        writes(results),
        pays(results),
    ]
    (output / "search.md").write_text("\n".join(parts))
    chart(results).write(output / "search.svg")
