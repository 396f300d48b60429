"""Recognise a table `tasks` that these migrations did not make.

A build that calls SQLModel.metadata.create_all makes such a table. `adopt.sql` adopts it.
"""

import sys

from sqlalchemy import Connection, text

# env.py numbers the migrations. Few other builds do, and their times have another type.
HAS_REVISION = text("SELECT EXISTS (SELECT FROM alembic_version WHERE version_num ~ '^[0-9]{4}$')")
EXISTS = text("SELECT to_regclass(:table) IS NOT NULL")
COLUMNS = text(
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
    " WHERE attrelid = to_regclass('tasks') AND attnum > 0 AND NOT attisdropped"
    " AND attname IN ('id', 'created_at', 'updated_at') ORDER BY attnum"
)
FOUND = (
    "The database has a table tasks that these migrations did not make ({columns}). Adopt it with "
    "migrations/adopt.sql, which keeps every task and whose first lines have the psql command, "
    "then run `alembic upgrade head` again."
)


def refuse_foreign_table(connection: Connection) -> None:
    """Raise SystemExit if another build made the table `tasks`."""
    if not connection.scalar(EXISTS, {"table": "tasks"}):
        return
    columns = connection.execute(COLUMNS).all()
    times_are_ours = {kind for name, kind in columns if name != "id"} <= {
        "timestamp with time zone"
    }
    if times_are_ours and has_our_revision(connection):
        return
    found = ", ".join(f"{name} is {kind}" for name, kind in columns)
    sys.exit(FOUND.format(columns=found))


def has_our_revision(connection: Connection) -> bool:
    """Return whether `alembic_version` has a revision that may be one of these migrations."""
    exists = connection.scalar(EXISTS, {"table": "alembic_version"})
    return bool(exists and connection.scalar(HAS_REVISION))
