"""Find what a database lacks of the schema that this release needs.

The service does this without Alembic, which would stay in its memory. A revision that this release
does not know is newer, because migrations are only ever added. It means that the database was
migrated by a later release, which was rolled back.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Column
from sqlmodel import SQLModel

import models  # noqa: F401  (fills the metadata)
from migrations.access import HIDING, NEXT_UPDATE, Obstacle, obstacles, worst
from postgres.driver import Connection

# The revisions, oldest first. The name of each file begins with its revision.
REVISIONS = sorted(
    path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/*_*.py")
)
NOT_MIGRATED = "not migrated"
UPGRADE = "run `alembic upgrade head`"
NO_VERSIONS = "'{}'::text[]"
ZONE = "time zone in "
FOREIGN = (
    "another program made the table tasks, whose times have no time zone; `alembic upgrade head` "
    "says how to adopt it"
)
# env.py numbers the migrations, and few other programs do.
OWN_REVISION = re.compile("[0-9]{4}")
VERSIONS = "ARRAY(SELECT version_num::text FROM alembic_version)"


async def find_obstacle(connection: Connection) -> Obstacle | None:
    """Return why the database can't be used as it is set up, or None if it can be.

    An obstacle counts only if it is found twice in a row. Functions such as `to_regclass` see each
    change as soon as it is committed, even in the middle of a query. So a query during which a
    right is granted may find tables missing that only the right hid.

    Raises psycopg2.Error and TimeoutError.
    """
    obstacle, before = await _look(connection), None
    while obstacle not in (None, before):
        obstacle, before = await _look(connection), obstacle
    return obstacle


async def _look(connection: Connection) -> Obstacle | None:
    """Return the obstacle that one query finds, if any."""
    rest = f"{_missing()}, {obstacles()}"
    try:
        [(versions, missing, found)] = await connection.fetch(f"SELECT {VERSIONS}, {rest}")
    except psycopg2.ProgrammingError:  # there is no such table, or no right to read it
        [(versions, missing, found)] = await connection.fetch(f"SELECT {NO_VERSIONS}, {rest}")
    obstacle = worst(found)
    lacking = judgement(versions, missing)
    if lacking is None or (obstacle is not None and obstacle.kind in HIDING):
        return obstacle
    return Obstacle(NOT_MIGRATED, lacking, is_total=is_foreign(missing))


def judgement(versions: list[str], missing: list[str]) -> str | None:
    """Return what a database at `versions` lacks if `missing` is missing.

    If no version is known, only `missing` decides. The tables and columns may have been made by
    hand or by a newer release, or `alembic_version` may be unreadable.
    """
    if is_foreign(missing):
        return FOREIGN
    head, version = REVISIONS[-1], ", ".join(versions)
    if head not in versions and not set(versions).isdisjoint(REVISIONS):
        return f"it is at {version} and this release needs {head}; {UPGRADE}"
    if not missing:
        return None
    # If tables or columns are missing, leave out missing defaults and functions.
    relations = [name for name in missing if " " not in name]
    what = ", ".join((relations or missing)[:5]).replace('"', "")
    if not any(OWN_REVISION.fullmatch(each) for each in versions):
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


def is_foreign(missing: list[str]) -> bool:
    """Return whether another program made the table `tasks`: its times have no time zone.

    Such a table can't be used at all, because only that program knows which moment a time means.
    """
    return any(name.replace('"', "").startswith(f"{ZONE}tasks.") for name in missing)


@cache
def _missing() -> str:
    """Return SQL for an array of what the models need and the database lacks.

    These are tables, columns, the function, the time zones of times, and the defaults of columns
    that no statement sends. A column that the models lack needs a default too, unless a trigger
    fills it in. The query takes no lock on the tables, so it never waits for a statement on them.
    """
    columns = ", ".join(
        f"('{_quoted(table.fullname)}', '{column.name}', {_is_filled_in(column)}, "
        f"{getattr(column.type, 'timezone', False)})"
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
    )
    return f"""ARRAY(
        WITH needed (t, c, filled_in, zoned) AS (VALUES {columns}),
        present AS (
            SELECT attrelid, attname, atttypid, relkind IN ('r', 'p')
                AND attnotnull AND NOT atthasdef AND attidentity = '' AS unset
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE attrelid IN (SELECT to_regclass(t) FROM needed)
                AND attnum > 0 AND NOT attisdropped
        )
        SELECT DISTINCT CASE WHEN to_regclass(t) IS NULL THEN t
            WHEN attname IS NULL THEN t || '.' || c
            WHEN zoned AND atttypid <> 'timestamptz'::regtype THEN '{ZONE}' || t || '.' || c
            ELSE 'default of ' || t || '.' || c END
        FROM needed LEFT JOIN present ON attrelid = to_regclass(t) AND attname = c
        WHERE attname IS NULL OR filled_in AND unset OR zoned AND atttypid <> 'timestamptz'::regtype
        UNION ALL
        SELECT 'default of ' || attrelid::regclass || '.' || attname FROM present
        WHERE unset AND NOT EXISTS (
            SELECT FROM needed WHERE to_regclass(t) = attrelid AND c = attname
        ) AND NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = attrelid AND tgtype & 7 = 7 -- before each INSERT
        )
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
