"""How Postgres reads a page: in order from an index, in time proportional to the page's size."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor
from sqlalchemy.engine import URL
from sqlmodel import SQLModel, create_engine

from schemas import Order, Sort, Status
from tasks import queries
from tests.support.plans import PLANS, plan_of

# The number of tasks of each user. The hoarder has most of the tasks in the table. Almost all tasks
# are pending, but those of the contrarian are almost all completed.
USERS = {"hoarder": 100_000, "busy": 2_000, "regular": 300, "contrarian": 1_000}
OTHERS = 20_000  # tasks of 2,000 other users

POPULATE = """
    INSERT INTO tasks (user_id, title, completed, created_at)
    SELECT user_id, md5(random()::text), (number %% 200 = 0) <> (user_id = 'contrarian'),
        timestamptz '2026-01-01Z' + random() * interval '300 days'
    FROM (
        SELECT user_id, generate_series(1, tasks) FROM unnest(%s, %s) AS users (user_id, tasks)
        UNION ALL
        SELECT 'user_' || n / 10, n FROM generate_series(1, %s) AS n
        ORDER BY 2
    ) AS made (user_id, number)
"""


@pytest.fixture(scope="module")
def population(postgres: URL) -> Iterator[Cursor]:
    """A separate database with more than 100,000 tasks, for which the planner has statistics."""
    name = "plans"
    server = psycopg2.connect(host=postgres.query["host"], user="postgres")
    server.autocommit = True
    server.cursor().execute(f"CREATE DATABASE {name}")
    url = postgres.set(database=name, drivername="postgresql+psycopg2")
    engine = create_engine(url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    connection = psycopg2.connect(host=postgres.query["host"], user="postgres", dbname=name)
    connection.autocommit = True
    with connection.cursor() as cursor:
        # VACUUM does not mark a page as all-visible until the commits in it are on disk.
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(POPULATE, [list(USERS), list(USERS.values()), OTHERS])
        # Without FREEZE it also leaves out a page that a checkpoint is writing at that moment.
        cursor.execute("VACUUM (ANALYZE, FREEZE) tasks")
        yield cursor
    connection.close()
    server.cursor().execute(f"DROP DATABASE {name}")
    server.close()


def deep_position(
    cursor: Cursor, user_id: str, status: Status, sort: Sort, order: Order
) -> dict[str, Any]:
    """Return the position in a list after seven tenths of its tasks."""
    key = "created_at" if sort == "created" else "lower(title)"
    chosen = {"all": "true", "pending": "NOT completed", "completed": "completed"}[status]
    cursor.execute(
        f"SELECT {key}::text, id FROM tasks WHERE user_id = %(user_id)s AND {chosen}"
        f" ORDER BY {key} {order}, id {order} LIMIT 1 OFFSET ("
        f"SELECT count(*) * 7 / 10 FROM tasks WHERE user_id = %(user_id)s AND {chosen})",
        {"user_id": user_id},
    )
    return dict(zip(("key", "id"), cursor.fetchone() or ("2026-01-01Z", 1), strict=True))


@pytest.mark.parametrize("kind", ["custom", pytest.param("generic", marks=pytest.mark.slow)])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created", "title"])
@pytest.mark.parametrize("status", ["all", "pending", "completed"])
@pytest.mark.parametrize("user_id", [*USERS, "user_7"])
def test_a_page_is_read_from_an_index_in_order(
    user_id: str, status: Status, sort: Sort, order: Order, kind: str, population: Cursor
) -> None:
    deep = deep_position(population, user_id, status, sort, order)
    for after, limit in product(({}, deep), (1, 50, 1000)):
        statement = queries.list_tasks(status, sort, order, after=after is deep)
        values = {"user_id": user_id, "limit": limit + 1, **after}
        plan = plan_of(population, statement, values, kind)
        assert re.search(r"-> +Index Scan (Backward )?using tasks_", plan), plan
        assert not re.search(r"-> .*Sort |Bitmap|Seq Scan", plan), plan
        read = re.findall(r"Index Scan .*actual rows=(\d+)", plan)
        assert sum(map(int, read)) <= limit + len(read), plan
        # A page may read and drop a few rows, but not a number that grows with the table.
        assert sum(map(int, re.findall(r"Rows Removed by \w+: (\d+)", plan))) <= 10, plan


@pytest.mark.parametrize("status", ["all", "pending", "completed"])
@pytest.mark.parametrize("user_id", ["busy", "regular", "contrarian", "user_7", "hoarder"])
def test_a_search_reads_only_tasks_of_the_user(
    user_id: str, status: Status, population: Cursor
) -> None:
    """Searches are not prepared, so Postgres plans each of them."""
    for sort, after, q in product(get_args(Sort), (False, True), ("a", "abc", "no such task")):
        statement = queries.list_tasks(status, sort, "desc", after=after, search=True)
        position = {"key": "2026-06-01Z" if sort == "created" else "8", "id": 5000} if after else {}
        values = {"user_id": user_id, "limit": 51, "q": queries.pattern(q), **position}
        population.execute("EXPLAIN (ANALYZE, TIMING OFF) " + statement.sql, values)
        plan = "\n".join(line for (line,) in population)
        assert "Seq Scan" not in plan, plan
        assert re.findall(r"Index Cond: \(+(\w+) = ", plan).count("user_id") == plan.count(
            "Index Cond"
        ), plan
        # A bitmap scan counts each row twice: in the index and in the table. A list of all tasks by
        # title is merged from two lists, and each may read all tasks of the user.
        lists = 2 if (status, sort) == ("all", "title") else 1
        assert rows_read(plan) <= 2 * lists * USERS.get(user_id, 10), plan


def rows_read(plan: str) -> float:
    """Return how many rows the scans of a plan read, including those that they dropped."""
    scans = re.findall(r"Scan .*actual rows=([\d.]+) loops=(\d+)", plan)
    removed = map(int, re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan))
    return sum(float(rows) * int(loops) for rows, loops in scans) + sum(removed)


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("user_id", ["busy", "regular", "contrarian", "user_7", "nobody"])
def test_tasks_are_counted_with_index_only_scans(
    user_id: str, kind: str, population: Cursor
) -> None:
    plan = plan_of(population, queries.STATS, {"user_id": user_id}, kind)
    for status in ("pending", "completed"):
        assert f"Index Only Scan using tasks_{status}_by_" in plan, plan
    assert plan.count("Scan") == 2, plan
    assert re.findall(r"Heap Fetches: (\d+)", plan) == ["0", "0"], plan
    assert "Rows Removed" not in plan, plan


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created", "title"])
@pytest.mark.parametrize("status", ["all", "pending", "completed"])
def test_no_page_is_read_with_an_offset(
    status: Status, sort: Sort, order: Order, after: bool
) -> None:
    assert "OFFSET" not in queries.list_tasks(status, sort, order, after=after).sql.upper()
