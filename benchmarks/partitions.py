"""The disk space of a task, and the cost of partitions: `uv run benchmarks/partitions.py`.

It measures the figures of docs/scaling.md. It fills a temporary Postgres with 1,000,000 tasks of
10,000 users, and splits them into more and more partitions. Milliseconds are medians of one
statement at a time, in Postgres alone.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from population import Population
from postgres_server import Server, fetch_all, find_binaries, script
from process import clean_up_on_sigterm

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from postgres.prepared import Statement  # noqa: E402
from tasks import queries  # noqa: E402

SCRIPT = script(ROOT / "migrations/partition.sql")
POPULATION = Population(100 if "--quick" in sys.argv else 10_000, 100)
COUNTS = (0, 16, 32, 64, 128)  # partitions; 0 is the table of the migrations
ROUNDS = 300
SIZES = """
SELECT CASE WHEN c.relkind = 'i' THEN c.relname ELSE 'table' END, pg_relation_size(c.oid)
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE coalesce(i.indrelid, c.oid) = 'tasks'::regclass ORDER BY 2 DESC
"""


def prepare(server: Server, database: str) -> None:
    """Create, migrate and fill a database."""
    server.execute("postgres", f"CREATE DATABASE {database}")
    environment = os.environ | {"DATABASE_URL": server.url(database)}
    environment.pop("MIGRATION_DATABASE_URL", None)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    server.seed(database, POPULATION)


def sizes(server: Server, database: str) -> dict[str, float]:
    """Return the bytes of a task, in the table and in each index."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(SIZES)
        tasks = POPULATION.users * POPULATION.tasks
        return {name: int(size) / tasks for name, size in fetch_all(cursor)}


def cases() -> dict[str, tuple[Statement, dict[str, Any]]]:
    """Return the statements, with placeholders for a user and a task of the user."""
    page = queries.list_tasks("all", "created", "desc", after=False)
    return {
        "get": (queries.GET, {}),
        "page of 50": (page, {"limit": 51}),
        "update": (queries.UPDATE.always, queries.update_values({"title": "x"})),
        "403 or 404": (queries.TASK_BELONGS_TO_OTHER, {}),
    }


def milliseconds(server: Server, database: str) -> dict[str, float]:
    """Return the median time of each statement; each execution is for another user."""
    times: dict[str, list[float]] = {name: [] for name in cases()}
    with server.connect(database) as connection, connection.cursor() as cursor:
        for turn in range(ROUNDS):
            person = turn * 31 % POPULATION.users + 1
            who = {"user_id": POPULATION.user_id(person), "task_id": POPULATION.task_id(person, 1)}
            for name, (statement, values) in cases().items():
                command = statement.execute if turn else statement.prepare
                begin = time.perf_counter()
                cursor.execute(command, who | values)
                cursor.fetchall()
                times[name].append((time.perf_counter() - begin) * 1e3)
    return {name: median(values) for name, values in times.items()}


def split(server: Server, database: str, partitions: int) -> float:
    """Partition the table, and return the seconds that it took."""
    changed = re.sub(r"(partitions constant integer := )\d+", rf"\g<1>{partitions}", SCRIPT)
    begin = time.perf_counter()
    server.execute(database, changed)
    seconds = time.perf_counter() - begin
    server.execute(database, "VACUUM ANALYZE tasks", "CHECKPOINT")
    return seconds


def main() -> None:
    """Print the tables of the page."""
    clean_up_on_sigterm()
    with Server(find_binaries(None)) as server:
        print(f"Postgres {server.version()}\n")
        for count in COUNTS:
            database = f"partitions_{count}"
            prepare(server, database)
            if count:
                print(f"split into {count} in {split(server, database, count):.0f} s")
            else:
                per_task = sizes(server, database)
                for name, size in per_task.items():
                    print(f"{size:6.1f} bytes  {name}")
                print(f"{sum(per_task.values()):6.1f} bytes  a task, with its indexes")
            for name, value in milliseconds(server, database).items():
                print(f"{value:6.2f} ms  {name}, {count or 'no'} partitions")
            server.execute("postgres", f"DROP DATABASE {database}")


if __name__ == "__main__":
    main()
