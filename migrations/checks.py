"""CHECK constraints for `alembic revision --autogenerate` and `alembic check`.

Alembic's plugin compares names: it finds constraints that only the models or only the database has.
This module also finds constraints whose rules differ.
"""

from typing import Any

from alembic.ddl.impl import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import CheckConstraint, Column, Connection, MetaData, Table, text

PLUGIN = "alembic.ext.checkconstraint_byname"
RULE = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE (conrelid, conname) = "


class Implementation(PostgresqlImpl):
    """A replacement for Alembic's PostgreSQL implementation, found by its `__dialect__`."""

    __dialect__ = "postgresql"

    def compare_check_constraint(
        self, metadata_constraint: CheckConstraint, reflected_constraint: CheckConstraint
    ) -> ComparisonResult:
        """Compare both rules as Postgres prints them, which differs from how they were written."""
        assert self.connection is not None
        modelled = _as_postgres_writes_it(self.connection, metadata_constraint)
        existing = _rule(self.connection, reflected_constraint.table, reflected_constraint.name)
        if modelled == existing:
            return ComparisonResult.Equal()
        return ComparisonResult.Different(f"{existing} to {modelled}")


def _as_postgres_writes_it(connection: Connection, constraint: CheckConstraint) -> str:
    """Let Postgres parse the rule on a temporary table with the same columns, and roll back."""
    parent: Any = constraint.parent  # a table, or a column
    columns = getattr(parent, "table", parent).columns
    copies: list[Column[Any]] = [Column(column.name, column.type) for column in columns]
    rule = CheckConstraint(constraint.sqltext, constraint.name)
    table = Table("modelled", MetaData(), *copies, rule, prefixes=["TEMPORARY"])
    with connection.begin_nested() as savepoint:
        table.create(connection)
        written = _rule(connection, table, constraint.name)
        savepoint.rollback()
    return written


def _rule(connection: Connection, table: Table, name: Any) -> str:
    table_name = connection.dialect.identifier_preparer.format_table(table)
    question = text(f"{RULE} (CAST(:table AS regclass), :name)")
    return str(connection.scalar(question, {"table": table_name, "name": name}))
