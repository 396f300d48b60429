"""What prepared statements save and cost: `uv run benchmarks/prepared_statements.py [--quick]`.

It measures the figures of docs/decisions/021-prepared-statements.md. CPU times are medians of
interleaved rounds, for the connection's Postgres process, and for the service's driver, pool and
session. Memory is what Postgres holds for one connection that has executed every
statement ten times. Everything is measured on the table of the migrations, and on one with 32
partitions.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, get_args

from population import Population
from postgres_server import Server, find_binaries, script
from process import clean_up_on_sigterm

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from sqlalchemy.engine import make_url  # noqa: E402

from database import Database, Session  # noqa: E402
from postgres.prepared import Statement  # noqa: E402
from schemas import Order, Sort, Status  # noqa: E402
from tasks import queries  # noqa: E402

QUICK = "--quick" in sys.argv  # to try the program; the figures mean nothing
ROUNDS, TIMES = (1, 20) if QUICK else (9, 500)
POPULATION = Population(10 if QUICK else 1000, 200)
SCRIPT = script(ROOT / "migrations/partition.sql")
DATABASE = "prepared"
GENERIC = "force_generic_plan"
USER_ID = POPULATION.user_id(1)
TASK_ID = POPULATION.task_id(1, 1)
PAGE = queries.list_tasks("all", "created", "desc", after=False)
UPDATE = queries.update_values({"title": "x"})
CASES: dict[str, tuple[Statement, dict[str, Any]]] = {
    "get": (queries.GET, {"user_id": USER_ID, "task_id": TASK_ID}),
    "list of 100": (PAGE, {"user_id": USER_ID, "limit": 100}),
    "update": (queries.UPDATE.always, {"user_id": USER_ID, "task_id": TASK_ID, **UPDATE}),
    "toggle": (queries.TOGGLE.always, {"user_id": USER_ID, "task_id": TASK_ID}),
}


def prepare(server: Server) -> None:
    """Create, migrate and fill a database."""
    server.execute("postgres", f"CREATE DATABASE {DATABASE}")
    environment = os.environ | {"DATABASE_URL": server.url(DATABASE)}
    environment.pop("MIGRATION_DATABASE_URL", None)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    server.seed(DATABASE, POPULATION)


def open_database(server: Server, *, prepared: bool) -> Database:
    url = make_url(server.url(DATABASE))
    return Database(url, 1, prepared_statements=prepared)


async def value(session: Session, statement: str) -> int:
    [(number,)] = await session.fetch(statement, {}, retry=True)
    return int(number)


def cpu_of(process: int) -> int:
    """Return the CPU time of a process, in nanoseconds (`schedstat` in proc(5))."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0])


async def measure(server: Server, table: str) -> None:
    """Print the CPU times of one statement in microseconds."""
    databases = {"prepared": open_database(server, prepared=True)}
    databases["not prepared"] = open_database(server, prepared=False)
    sessions = {name: database.session() for name, database in databases.items()}
    pids = {name: await value(each, "SELECT pg_backend_pid()") for name, each in sessions.items()}
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _, case, name in product(range(ROUNDS), CASES, sessions):
        statement, values = CASES[case]
        began, began_there = time.process_time_ns(), cpu_of(pids[name])
        for _ in range(TIMES):
            await sessions[name].fetch(statement, values, retry=True)
        ended, ended_there = time.process_time_ns(), cpu_of(pids[name])
        figures = ((ended_there - began_there) / TIMES / 1e3, (ended - began) / TIMES / 1e3)
        times.setdefault((case, name), []).append(figures)
    for (case, name), rounds in times.items():
        there, here = (median(column) for column in zip(*rounds, strict=True))
        print(f"{table}, {case}, {name}: Postgres {there:.0f} µs, service {here:.0f} µs")
    for database in databases.values():
        await database.close()


def every_statement() -> Iterator[tuple[Statement, dict[str, Any]]]:
    """Yield each statement of the routes, with parameters for which it changes nothing."""
    values = {"user_id": "nobody", "task_id": 1, "if_match": "{}", "limit": 1, "id": 1, **UPDATE}
    changes = (*queries.UPDATE, *queries.TOGGLE, *queries.SET_COMPLETED, *queries.DELETE)
    for statement in (queries.GET, queries.TASK_BELONGS_TO_OTHER, *changes):
        yield statement, values
    choices = product(get_args(Status), get_args(Sort), get_args(Order), (True, False))
    for status, sort, order, after in choices:
        key = "x" if sort == "title" else "2026-01-01Z"
        yield queries.list_tasks(status, sort, order, after=after), {**values, "key": key}


async def measure_memory(server: Server, table: str) -> None:
    """Print the memory of one connection in KB."""
    for prepared in (True, False):
        database = open_database(server, prepared=prepared)
        session = database.session()
        for _ in range(10):  # from the sixth on, a plan may be generic
            for statement, values in every_statement():
                await session.fetch(statement, values, retry=True)
        used = await value(session, "SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
        count = await value(session, "SELECT count(*) FROM pg_prepared_statements")
        generic = "SELECT count(*) FROM pg_prepared_statements WHERE generic_plans > 0"
        kinds = f"{count} prepared, {await value(session, generic)} with a generic plan"
        print(f"{table}, memory of a connection: {used / 1e3:.0f} KB ({kinds})")
        await database.close()


def main() -> None:
    """Print every figure."""
    clean_up_on_sigterm()
    with Server(find_binaries(None)) as server:
        print(f"Postgres {server.version()}")
        prepare(server)
        asyncio.run(measure(server, "one table"))
        asyncio.run(measure_memory(server, "one table"))
        server.execute(DATABASE, SCRIPT, "VACUUM ANALYZE tasks")
        asyncio.run(measure(server, "32 partitions"))
        asyncio.run(measure_memory(server, "32 partitions"))
        server.execute(DATABASE, f"ALTER DATABASE {DATABASE} SET plan_cache_mode TO {GENERIC}")
        asyncio.run(measure(server, "32 partitions, generic plans"))


if __name__ == "__main__":
    main()
