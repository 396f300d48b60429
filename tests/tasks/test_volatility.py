"""No statement uses a function that Citus refuses. tests/test_citus.py runs them on Citus."""

import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from typing import get_args

import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

import tasks
from postgres.prepared import Statement
from schemas import Order, Sort, Status
from tasks import queries
from tests.support.volatility import Use, refused, tree, used

SQL = "(WITH|SELECT|INSERT|UPDATE|DELETE) "


def untyped(sql: str) -> Statement:
    return Statement(sql, defaultdict(lambda: "unknown", limit="bigint"))


def statements() -> Iterator[tuple[str, Statement]]:
    """Yield every statement that is a constant in a module of tasks/, and those of lists."""
    for module in pkgutil.iter_modules(tasks.__path__):
        for name, value in vars(import_module(f"tasks.{module.name}")).items():
            if isinstance(value, Statement):
                yield name, value if value.is_prepared else untyped(value.sql)
            elif isinstance(value, queries.ConditionalStatement):
                yield f"{name}.always", value.always
                yield f"{name}.if_match", value.if_match
            # The driver can't send a text again at another isolation level.
            is_text = isinstance(value, str) and re.match(SQL, value)
            assert not is_text, f"{name} must be a Statement"
    choices = product(get_args(Status), get_args(Sort), get_args(Order), (True, False))
    for status, sort, order, after in choices:
        for search in (False, True):
            name = f"list_tasks({status}, {sort}, {order}, after={after}, search={search})"
            page = queries.list_tasks(status, sort, order, after=after, search=search)
            yield name, untyped(page.sql) if search else page


STATEMENTS = dict(statements())


@pytest.fixture
def cursor(database: Connection) -> Iterator[Cursor]:
    with database.cursor() as cursor:
        yield cursor


def test_every_statement_is_found() -> None:
    assert len(STATEMENTS) == 4 + 4 * 2 + 3 + 2 + 48
    assert {
        "CREATE",
        "DELETE",
        "DELETE.if_match",
        "CREATE_ONCE",
        "OLDEST",
        "ERASE",
    } < STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_uses_no_function_that_citus_refuses(name: str, cursor: Cursor) -> None:
    assert refused(cursor, STATEMENTS[name]) == []


def test_a_change_reads_the_clock_with_a_function_that_citus_accepts(cursor: Cursor) -> None:
    name = "tasks_next_update(timestamp with time zone)"
    assert (name, "i") in used(cursor, tree(cursor, queries.TOGGLE.always))
    cursor.execute("SELECT prosrc FROM pg_proc WHERE oid = 'tasks_next_update'::regproc")
    [(source,)] = cursor.fetchall()
    assert "clock_timestamp()" in source


# Citus refused statements of earlier releases for some of these uses. The others are similar.
REFUSED = {
    "UPDATE tasks SET updated_at = clock_timestamp() RETURNING id": (
        Use("SET", "clock_timestamp()")
    ),
    "UPDATE tasks SET updated_at = updated_at + interval '1 s' RETURNING id": (
        Use("SET", "timestamptz_pl_interval(timestamp with time zone,interval)")
    ),
    "UPDATE tasks SET updated_at = CASE WHEN completed THEN now() ELSE updated_at END": (
        Use("SET", "now()")
    ),
    "UPDATE tasks SET updated_at = LOCALTIMESTAMP": (
        Use("SET", "current_timestamp or another of its kind")
    ),
    "UPDATE tasks SET title = updated_at::text": (
        Use("SET", "timestamptz_out(timestamp with time zone)")
    ),
    "INSERT INTO tasks (user_id, title) VALUES ('a', 'b') RETURNING to_char(created_at, 'YYYY')": (
        Use("RETURNING", "to_char(timestamp with time zone,text)")
    ),
    "DELETE FROM tasks RETURNING created_at::date": (
        Use("RETURNING", "date(timestamp with time zone)")
    ),
    "DELETE FROM tasks WHERE concat(title) = %(etag)s": Use("WHERE", 'concat("any")'),
    "DELETE FROM tasks WHERE updated_at + interval '1 s' < %(cutoff)s": (
        Use("WHERE", "timestamptz_pl_interval(timestamp with time zone,interval)")
    ),
    "DELETE FROM tasks WHERE random() < 0.5": Use("WHERE", "random()"),
    "WITH gone AS (DELETE FROM tasks RETURNING concat(title)) SELECT FROM gone": (
        Use("RETURNING", 'concat("any")')
    ),
    """
    INSERT INTO idempotency_keys VALUES ('a', 'b', '', 1)
    ON CONFLICT (user_id, key) DO UPDATE SET created_at = now()
    """: Use("ON CONFLICT", "now()"),
}


@pytest.mark.parametrize(("sql", "use"), REFUSED.items())
def test_a_function_that_citus_refuses_is_found(sql: str, use: Use, cursor: Cursor) -> None:
    assert use in refused(cursor, untyped(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM tasks WHERE updated_at < now() - interval '1 s'",
        "INSERT INTO tasks (user_id, title, created_at) VALUES ('a', 'b', now()) RETURNING id",
        "SELECT concat(title) FROM tasks WHERE created_at::date = %(day)s",
    ],
)
def test_a_function_that_citus_evaluates_itself_is_accepted(sql: str, cursor: Cursor) -> None:
    assert refused(cursor, untyped(sql)) == []
