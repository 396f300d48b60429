"""Run the migrations: `uv run alembic upgrade head`.

They run on MIGRATION_DATABASE_URL, which is for a database whose DATABASE_URL leads to a pooler,
else on DATABASE_URL, else on the development database.
"""

from typing import Any, Literal

from alembic import context
from sqlalchemy import URL, create_engine, pool, text
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

import models  # noqa: F401  (fills the metadata)
from config import get_settings
from development.database import database_url
from migrations import checks
from postgres.url import postgres_url

# Any number works if every process that migrates this database uses the same one.
ADVISORY_LOCK = 7_426_031_955


def number(_: Any, __: Any, scripts: list[Any]) -> None:
    """Set the id of a new migration to the next number, unless `--rev-id` names another."""
    if getattr(context.config.cmd_opts, "rev_id", None) is None:
        revisions = [script.revision for script in context.script.walk_revisions()]
        numbers = [int(revision) for revision in revisions if revision.isdecimal()]
        scripts[0].rev_id = f"{max(numbers, default=0) + 1:04}"


def render_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write SQLModel's types as SQLAlchemy's: a migration imports nothing else."""
    if kind == "type" and isinstance(item, AutoString | UTCDateTime):
        return f"sa.{item.impl_instance!r}"
    return False


def migrate(url: URL) -> None:
    """Run all migrations in one transaction, or none. Processes run them one after another."""
    engine = create_engine(url.set(drivername="postgresql+psycopg2"), poolclass=pool.NullPool)
    with engine.connect() as connection:
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
            context.run_migrations()


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
