"""The cost of searches, the stats and changes in Postgres, with and without the index."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import say
from contenders import ROOT
from postgres_server import Server, fetch_all
from psycopg2.extensions import cursor as Cursor
from search_data import LONG, RARE, SHORT, WITH, WITHOUT, Texts, user_id

sys.path.append(str(ROOT))

from tasks import queries

PAGE = 50
WRITES = 50  # consecutive changes of one kind
MATCHES = {
    "no match": ("zzqxj", PAGE),
    "no match, two letters": ("zq", PAGE),
    "rare match": (RARE, PAGE),
    "page of 50 by one letter": ("e", PAGE),
    "whole list by one letter": ("e", None),
}
WITH_LONG = ("no match", "rare match", "page of 50 by one letter")


class Case(NamedTuple):
    """A statement of one user."""

    kind: str
    size: int
    name: str
    sql: str
    values: dict[str, Any]


def cases(sizes: tuple[int, ...]) -> Iterator[Case]:
    """Yield the searches of every user, and the stats of users with short descriptions."""
    search = queries.list_tasks("all", "created", "desc", after=False, search=True).sql
    for kind, size, (name, (q, limit)) in product((SHORT, LONG), sizes, MATCHES.items()):
        if kind == SHORT or name in WITH_LONG:
            values = {"user_id": user_id(kind, size), "q": queries.pattern(q)}
            # The service reads one more task than the page contains.
            yield Case(kind, size, name, search, values | {"limit": (limit or size) + 1})
    for size in sizes:
        yield Case(SHORT, size, "stats", queries.STATS.sql, {"user_id": user_id(SHORT, size)})


def explain(cursor: Cursor, case: Case) -> tuple[float, int, bool]:
    """Execute a statement. Return its milliseconds, the rows read, and whether it used an index."""
    cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {case.sql}", case.values)
    found: Any = fetch_all(cursor)[0][0]
    nodes = list(plan_nodes(found[0]["Plan"]))
    read = sum(rows_read(node) for node in nodes if "Relation Name" in node)
    is_used = any(node.get("Index Name") == "tasks_search" for node in nodes)
    return found[0]["Planning Time"] + found[0]["Execution Time"], read, is_used


def plan_nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all nodes below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from plan_nodes(child)


def rows_read(node: dict[str, Any]) -> int:
    """Return how many rows of the table, or entries of an index, a scan read."""
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    counts = (node.get(name, 0) for name in ("Actual Rows", *removed))
    return int(sum(counts) * node["Actual Loops"])


def reads(server: Server, sizes: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """Return the medians of every case, without the index and with it."""
    chosen, times = list(cases(sizes)), dict[tuple[int, str], list[tuple[float, int, bool]]]()
    with ExitStack() as stack:
        cursors = cursors_of(server, stack)
        for turn, (number, case) in product(range(rounds + 1), enumerate(chosen)):
            # The first database may find the processor's caches cold, so the order alternates.
            for name in list(cursors)[:: 1 if turn % 2 else -1]:
                times.setdefault((number, name), []).append(explain(cursors[name], case))
    results = []
    for number, case in enumerate(chosen):
        result: dict[str, Any] = {"kind": case.kind, "size": case.size, "case": case.name}
        for name in (WITHOUT, WITH):
            runs = times[number, name][1:]  # the first run fills the caches
            result[name] = {"ms": median(run[0] for run in runs), "rows": runs[-1][1]}
            result[name]["used"] = runs[-1][2]
        say(f"  {case.kind} {case.size} {case.name}: {result[WITHOUT]} {result[WITH]}")
        results.append(result)
    return results


def cursors_of(server: Server, stack: ExitStack) -> dict[str, Cursor]:
    """Return a cursor on each database, in autocommit."""
    connections = {name: stack.enter_context(server.connect(name)) for name in (WITHOUT, WITH)}
    return {name: stack.enter_context(each.cursor()) for name, each in connections.items()}


def changes(texts: Texts, kind: str, user: str, ids: list[int]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each change of a task with its values."""
    task = {"user_id": user, "task_id": texts.random.choice(ids)}
    new = {"title": texts.title(), "description": texts.description(kind), "completed": False}
    yield "create", queries.CREATE, {"user_id": user, **new}
    yield "update", queries.UPDATE.always, task | queries.update_values({"title": texts.title()})
    yield "toggle", queries.TOGGLE.always, task


def writes(server: Server, kind: str, size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median CPU time of Postgres in µs, by change and database."""
    texts, user, times = Texts(), user_id(kind, size), dict[tuple[str, str], list[float]]()
    with ExitStack() as stack:
        cursors = cursors_of(server, stack)
        cursors[WITH].execute("SELECT id FROM tasks WHERE user_id = %s", (user,))
        ids = [int(row[0]) for row in fetch_all(cursors[WITH])]
        for number in range(rounds + 1):
            values = list(
                zip(*(changes(texts, kind, user, ids) for _ in range(WRITES)), strict=True)
            )
            for each, (name, cursor) in product(values, cursors.items()):
                commands = [(change.execute, parameters) for _, change, parameters in each]
                if not number:  # prepare the statement, and fill the caches
                    commands[0] = (each[0][1].prepare, each[0][2])
                spent = cpu_time(cursor, commands)
                times.setdefault((each[0][0], name), []).append(spent / WRITES)
    names = dict.fromkeys(name for name, _ in times)
    return {
        name: {each: median(times[name, each][1:]) for each in (WITHOUT, WITH)} for name in names
    }


def cpu_time(cursor: Cursor, commands: list[tuple[str, Any]]) -> float:
    """Execute commands. Return the CPU time of the server process in µs (`schedstat`, proc(5))."""
    schedstat = Path(f"/proc/{cursor.connection.info.backend_pid}/schedstat")
    began = int(schedstat.read_text().split()[0])
    for command, values in commands:
        cursor.execute(command, values)
    return (int(schedstat.read_text().split()[0]) - began) / 1e3
