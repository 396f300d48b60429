"""Run the migrations: `uv run alembic upgrade head`.

They run on MIGRATION_DATABASE_URL, which is needed if DATABASE_URL leads to a pooler. Without it,
they run on DATABASE_URL, and without both on the development database.
"""

import os
import sys
from typing import Any, Literal

from alembic import command, context
from alembic.util.exc import CommandError
from psycopg2 import extensions, extras
from sqlalchemy import URL, create_engine, pool, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

import models  # noqa: F401  (fills the metadata)
from config import get_settings
from development.database import database_url
from migrations import adoption, checks, report
from postgres.url import postgres_url

# Any number works if every process that migrates this database uses the same one.
ADVISORY_LOCK = 7_426_031_955
# Seconds to connect, unless the URL or the environment says otherwise. libpq's default has no
# limit.
os.environ.setdefault("PGCONNECT_TIMEOUT", "15")
# Creates everything in the schema of the table, which may not be the first one of the search path.
USE_SCHEMA_OF_TASKS = text(
    "SELECT set_config('search_path', relnamespace::regnamespace || ', '"
    " || current_setting('search_path'), true) FROM pg_class WHERE oid = to_regclass('tasks')"
)


def number(_: Any, __: Any, scripts: list[Any]) -> None:
    """Set the id of a new migration to the next number, unless `--rev-id` names another."""
    if getattr(context.config.cmd_opts, "rev_id", None) is None:
        revisions = [script.revision for script in context.script.walk_revisions()]
        numbers = [int(revision) for revision in revisions if revision.isdecimal()]
        scripts[0].rev_id = f"{max(numbers, default=0) + 1:04}"


def render_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write SQLModel's types as SQLAlchemy's, because a migration imports nothing else."""
    if kind == "type" and isinstance(item, AutoString | UTCDateTime):
        return f"sa.{item.impl_instance!r}"
    return False


def is_stamp() -> bool:
    """Return whether this is `alembic stamp`, which trusts the operator about the tables."""
    return getattr(context.config.cmd_opts, "cmd", (None,))[0] is command.stamp


def migrate(url: URL) -> None:
    """Run all migrations or none, in one transaction. Only one process at a time does so.

    Raises SystemExit with a message if the database reports an error.
    """
    try:
        before, after = _migrate(url)
    except DBAPIError as error:
        sys.exit(report.failure(error))
    except KeyboardInterrupt:
        sys.exit(report.INTERRUPTED)
    finally:
        extensions.set_wait_callback(None)
    if has_destination():
        context.config.print_stdout(report.success(before, after))


def has_destination() -> bool:
    """Return whether the command is `upgrade`, `downgrade` or `stamp`."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    except CommandError:  # the argument is relative, such as -1
        pass
    return True


def _migrate(url: URL) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Run the migrations, and return the revisions of the database before and after."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg2"),
        poolclass=pool.NullPool,
        # If the role has a stricter default, a process that waited would still see the database as
        # it was before the wait.
        isolation_level="READ COMMITTED",
    )
    with engine.connect() as connection:
        extensions.set_wait_callback(extras.wait_select)  # so that Ctrl+C cancels a statement
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_server_default=True,
            autogenerate_plugins=["alembic.autogenerate.*", checks.PLUGIN],
            process_revision_directives=number,
            render_item=render_type,
        )
        with context.begin_transaction():
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            # A statement that waits for a table lock makes all other statements wait behind it.
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            if not is_stamp():
                adoption.refuse_foreign_table(connection)
            connection.execute(USE_SCHEMA_OF_TASKS)
            migrations = context.get_context()
            before = migrations.get_current_heads()
            if unknown := set(before) - {each.revision for each in context.script.walk_revisions()}:
                sys.exit(report.unknown(unknown, context.script.get_current_head()))
            context.run_migrations()
            after = migrations.get_current_heads()
    return before, after


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", target_metadata=SQLModel.metadata, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    settings = get_settings()
    if settings.migration_database_url is not None:
        migrate(postgres_url(settings.migration_database_url.get_secret_value()))
    else:
        with database_url(settings) as given:
            migrate(given)
