"""Find what a database lacks of the schema that this release needs.

The service does this without Alembic, which would stay in its memory. A revision that this release
does not know is newer, because migrations are only ever added. It means that the database was
migrated by a later release, which was rolled back.
"""

from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Column
from sqlmodel import SQLModel

import models  # noqa: F401  (fills the metadata)
from migrations.access import HIDING, NEXT_UPDATE, Obstacle, obstacles, worst
from postgres.driver import Connection

# The oldest first. Each file begins with the number of its revision.
REVISIONS = sorted(
    path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/*_*.py")
)
NOT_MIGRATED = "not migrated"
UPGRADE = "run `alembic upgrade head`"
NO_VERSIONS = "'{}'::text[]"
VERSIONS = "ARRAY(SELECT version_num::text FROM alembic_version)"


async def find_obstacle(connection: Connection) -> Obstacle | None:
    """Return why the database can't be used as it is set up, or None if it can be.

    Raises psycopg2.Error and TimeoutError.
    """
    rest = f"{_missing()}, {obstacles()}"
    try:
        [(versions, missing, found)] = await connection.fetch(f"SELECT {VERSIONS}, {rest}")
    except psycopg2.ProgrammingError:  # there is no such table, or no right to read it
        [(versions, missing, found)] = await connection.fetch(f"SELECT {NO_VERSIONS}, {rest}")
    obstacle = worst(found)
    lacking = judgement(versions, missing)
    if lacking is None or (obstacle is not None and obstacle.kind in HIDING):
        return obstacle
    return Obstacle(NOT_MIGRATED, lacking)


def judgement(versions: list[str], missing: list[str]) -> str | None:
    """Return what a database at `versions` lacks if `missing` is missing.

    If no version is known, only `missing` decides. The tables and columns may have been made by
    hand or by a newer release, or `alembic_version` may be unreadable.
    """
    head, version = REVISIONS[-1], ", ".join(versions)
    if head not in versions and not set(versions).isdisjoint(REVISIONS):
        return f"it is at {version} and this release needs {head}; {UPGRADE}"
    if not missing:
        return None
    # If tables or columns are missing, leave out missing defaults and functions.
    relations = [name for name in missing if " " not in name]
    what = ", ".join((relations or missing)[:5]).replace('"', "")
    if not versions:
        return f"it has no {what}; {UPGRADE}"
    if head in versions:
        return (
            f"it is at {version} but has no {what}: this was removed, or no migration adds it, and "
            "`alembic upgrade head` can't help"
        )
    return (
        f"a newer release migrated it to {version}, and it has no {what}, which this release "
        "needs; deploy that release again, because `alembic upgrade head` can't help"
    )


@cache
def _missing() -> str:
    """Return SQL for an array of what the models need and the database lacks.

    These are tables, columns, the function, and the defaults of columns that no statement sends.
    The query takes no lock on the tables, so it never waits for a statement on them.
    """
    columns = ", ".join(
        f"('{_quoted(table.fullname)}', '{column.name}', {_is_filled_in(column)})"
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
    )
    return f"""ARRAY(
        SELECT DISTINCT CASE WHEN to_regclass(t) IS NULL THEN t
            WHEN attname IS NULL THEN t || '.' || c ELSE 'default of ' || t || '.' || c END
        FROM (VALUES {columns}) AS needed (t, c, filled_in)
        LEFT JOIN pg_attribute
            ON attrelid = to_regclass(t) AND attname = c AND NOT attisdropped
        LEFT JOIN pg_class ON pg_class.oid = attrelid
        WHERE attname IS NULL OR filled_in AND relkind IN ('r', 'p')
            AND attnotnull AND NOT atthasdef AND attidentity = ''
        UNION ALL
        SELECT 'function {NEXT_UPDATE}' WHERE to_regprocedure('{NEXT_UPDATE}') IS NULL
        ORDER BY 1
    )"""  # noqa: S608


def _is_filled_in(column: Column[Any]) -> bool:
    """Return whether the database must fill in the column, because no statement sends it.

    A statement sends a column that has a default in the model.
    """
    return column.identity is not None or (
        column.server_default is not None and column.default is None
    )


def _quoted(table: str) -> str:
    return ".".join(f'"{part}"' for part in table.split("."))
