"""The cost of a search and the stats in Postgres: `uv run --group bench benchmarks/search.py`.

Needs Postgres' programs. Makes a temporary server with two copies of one database, and creates the
index of migrations/search.sql in one of them. The cases and the two copies take turns. Writes
docs/benchmarks/search.md and search.svg; takes about two minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine
import search_report
from bench import say
from contenders import ROOT
from postgres_server import Server, fetch_all, find_binaries, script
from process import clean_up_on_sigterm
from search_costs import reads, writes
from search_data import LONG, SHORT, WITH, WITHOUT, Texts, load, rows

SCRIPT = script(ROOT / "migrations/search.sql")
SIZES = (100, 1_000, 10_000, 100_000)  # tasks of one user


def prepare(server: Server, others: int, sizes: tuple[int, ...]) -> dict[str, float]:
    """Create the two databases. Return the seconds and the bytes of the index."""
    server.execute("postgres", f"CREATE DATABASE {WITHOUT}")
    environment = os.environ | {"DATABASE_URL": server.url(WITHOUT)}
    environment.pop("MIGRATION_DATABASE_URL", None)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    load(server, WITHOUT, rows(Texts(), others, sizes))
    server.execute("postgres", f"CREATE DATABASE {WITH} TEMPLATE {WITHOUT}")
    index = create_index(server)
    server.execute(WITH, "VACUUM (ANALYZE) tasks", "CHECKPOINT")
    return index


def create_index(server: Server) -> dict[str, float]:
    """Run migrations/search.sql. Return the seconds that it took, and sizes in bytes."""
    seconds = 0.0
    for statement in filter(str.strip, SCRIPT.split(";")):
        begin = time.perf_counter()
        server.execute(WITH, statement)
        if "CREATE INDEX" in statement:
            seconds = time.perf_counter() - begin
    with server.connect(WITH) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_relation_size('tasks_search'), pg_table_size('tasks'),"
            " pg_indexes_size('tasks') - pg_relation_size('tasks_search'), count(*) FROM tasks"
        )
        sizes = map(int, fetch_all(cursor)[0])
    return dict(zip(("index", "table", "others", "rows"), sizes, strict=True)) | {"s": seconds}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, to try the program")
    parser.add_argument(
        "--report-only",
        action="store_true",
        help="only write the report, from search.json",
    )
    parser.add_argument("--postgres-bin", help="folder of initdb and postgres")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def measure(server: Server, quick: bool) -> dict[str, Any]:
    """Return every figure of the report."""
    sizes, others, rounds = (SIZES[:2], 10_000, 1) if quick else (SIZES, 1_000_000, 5)
    described = machine.describe(server.version(), "")
    results: dict[str, Any] = {
        "machine": {key: described[key] for key in described if key not in ("Node", "wrk")},
        "quick": quick,
        "others": others,
        "rounds": rounds,
    }
    say("the databases:")
    results["index"] = prepare(server, others, sizes)
    say(f"  {results['index']}\nreading:")
    results["reads"] = reads(server, sizes, rounds)
    results["writes"] = {
        kind: writes(server, kind, sizes[-2], 3 * rounds) for kind in (SHORT, LONG)
    }
    results["load after"] = f"{os.getloadavg()[0]:.2f}"
    return results


def main() -> None:
    """Measure, or only render the results of the last run."""
    chosen = arguments()
    clean_up_on_sigterm()
    if chosen.report_only:
        results = json.loads((chosen.output / "search.json").read_text())
    else:
        with Server(find_binaries(chosen.postgres_bin)) as server:
            results = measure(server, chosen.quick)
    search_report.write(results, chosen.output)


if __name__ == "__main__":
    main()
