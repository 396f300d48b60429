"""How Postgres reads a page: from an index, in order, with work that grows with the page alone."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor
from sqlalchemy.engine import URL
from sqlmodel import SQLModel, create_engine

from schemas import Order, Sort, Status
from tasks import queries
from tests.support.plans import plan_of

# Who, with how many tasks, and whether each but the few is completed. The hoarder holds most of
# the table; nearly all tasks are pending, but those of the contrarian are nearly all completed.
USERS = {"hoarder": 100_000, "busy": 2_000, "regular": 300, "contrarian": 1_000}
OTHERS = 20_000  # tasks, of 2,000 users

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
    """A database of its own, of more than 100,000 tasks, that the planner has statistics of."""
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
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(POPULATE, [list(USERS), list(USERS.values()), OTHERS])
        cursor.execute("VACUUM ANALYZE tasks")
        yield cursor
    connection.close()
    server.cursor().execute(f"DROP DATABASE {name}")
    server.close()


def deep_position(
    cursor: Cursor, user_id: str, status: Status, sort: Sort, order: Order
) -> dict[str, Any]:
    """The position in a list that has seven tenths of its tasks before it."""
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
        assert not re.search(r"Sort|Bitmap|Seq Scan", plan), plan
        # Rows that were read for nothing: a few at a page's end, never a share of the table.
        assert sum(map(int, re.findall(r"Rows Removed by \w+: (\d+)", plan))) <= 10, plan


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created", "title"])
@pytest.mark.parametrize("status", ["all", "pending", "completed"])
def test_no_page_counts_off_the_pages_before_it(
    status: Status, sort: Sort, order: Order, after: bool
) -> None:
    assert "OFFSET" not in queries.list_tasks(status, sort, order, after=after).sql.upper()
