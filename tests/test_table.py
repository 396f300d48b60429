"""The constraints and the defaults of the table itself."""

from typing import Any

import pytest
from psycopg2 import errors
from psycopg2.extensions import connection as Connection

GOOD: dict[str, Any] = {"user_id": "alice", "title": "Buy milk"}
# The required columns. test_migrations.py checks that the table has exactly the models' columns.
COLUMNS = {
    ("id", "bigint", None, "NO"),
    ("user_id", "text", None, "NO"),
    ("title", "character varying", 200, "NO"),
    ("description", "character varying", 1000, "YES"),
    ("completed", "boolean", None, "NO"),
    ("created_at", "timestamp with time zone", None, "NO"),
    ("updated_at", "timestamp with time zone", None, "NO"),
}


def insert(database: Connection, row: dict[str, Any]) -> tuple[Any, ...] | None:
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO tasks ({names}) VALUES ({values})"
            " RETURNING completed, created_at = now(), updated_at = now(), description",
            row,
        )
        return cursor.fetchone()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"user_id": ""}, errors.CheckViolation),
        ({"user_id": "u" * 256}, errors.CheckViolation),
        ({"title": ""}, errors.CheckViolation),
        ({"title": "é" * 201}, errors.StringDataRightTruncation),
        ({"description": "é" * 1001}, errors.StringDataRightTruncation),
        ({"user_id": None}, errors.NotNullViolation),
        ({"title": None}, errors.NotNullViolation),
        ({"completed": None}, errors.NotNullViolation),
        ({"created_at": None}, errors.NotNullViolation),
        ({"updated_at": None}, errors.NotNullViolation),
        ({"id": 7}, errors.GeneratedAlways),
    ],
)
def test_the_table_refuses_a_row_that_breaks_a_constraint(
    database: Connection, changed: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        insert(database, GOOD | changed)


def test_the_table_accepts_the_longest_values(database: Connection) -> None:
    longest = {"user_id": "é" * 255, "title": "é" * 200, "description": "é" * 1000}
    assert insert(database, longest) == (False, True, True, longest["description"])


def test_defaults_are_filled_in(database: Connection) -> None:
    assert insert(database, GOOD) == (False, True, True, None)


def test_the_table_has_the_required_columns(database: Connection) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, character_maximum_length, is_nullable"
            " FROM information_schema.columns WHERE table_name = 'tasks'"
        )
        assert set(cursor.fetchall()) >= COLUMNS
