"""Prepared statements that survive a pooler.

A pooler in transaction mode may send each message to another server connection, which has not
prepared what the one before has, or has it already. So each statement's name is a digest of its
text: a name stands for the same statement on every server connection, whoever prepared it. If the
server says that a name is unknown or taken, nothing was executed, and the statement is sent again
(docs/decisions/021-prepared-statements.md).
"""

import logging
import re
from hashlib import sha256
from typing import Any

import psycopg2
from psycopg2 import errors
from sqlalchemy import ClauseElement
from sqlalchemy.engine import Dialect
from sqlalchemy.types import NullType, TypeEngine

logger = logging.getLogger("tasks")

# The server says that the name is unknown, that it is taken, or, after a migration, that the result
# would have other types than when the statement was prepared.
RECOVERABLE = (
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.FeatureNotSupported,
)

# Of so many recoveries, each of which sends a statement twice, it is known whether they are rare. A
# pooler has fewer (server connections x statements) until every one of them is prepared.
RECOVERIES = 1000
RARE = 4  # executions for each recovery
LOST = (
    "Prepared statements are turned off, because the database or its pooler forgets most of them. "
    "DB_PREPARED_STATEMENTS=false turns them off from the start."
)


class Statement:
    """A statement with parameters, as plain SQL and as the commands that prepare and execute it."""

    __slots__ = ("execute", "name", "prepare", "replace", "sql")

    def __init__(self, sql: str, types: dict[str, str]) -> None:
        """Take `sql` with its parameters as `%(name)s`, and their `types` in Postgres."""
        numbers = {name: f"${number}" for number, name in enumerate(types, 1)}
        text = sql % numbers
        self.sql = sql
        self.name = f"task_api_{sha256(f'{text} {types}'.encode()).hexdigest()[:24]}"
        arguments = ", ".join(f"%({name})s" for name in types)
        self.execute = f"EXECUTE {self.name} ({arguments})" if types else f"EXECUTE {self.name}"
        declared = f" ({', '.join(types.values())})" if types else ""
        escaped = text.replace("%", "%%")
        self.prepare = f"PREPARE {self.name}{declared} AS {escaped}; {self.execute}"
        self.replace = f"DEALLOCATE {self.name}; {self.prepare}"

    def __str__(self) -> str:
        return self.sql


def statement(clause: ClauseElement, dialect: Dialect) -> Statement:
    """Return `clause` as a Statement: its parameters have the types that SQLAlchemy gives them."""
    compiled = clause.compile(dialect=dialect)
    sql = str(compiled)
    names = dict.fromkeys(re.findall(r"%\((\w+)\)s", sql))
    binds = compiled.binds  # type: ignore[attr-defined]
    return Statement(sql, {name: _type(binds[name].type, dialect) for name in names})


def _type(kind: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the name of a type; of `unknown`, Postgres infers what it is."""
    return "unknown" if isinstance(kind, NullType) else kind.compile(dialect)


class PreparedStatements:
    """How one database and its pooler take prepared statements. Its connections share this."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        # Whether clients share server connections, which then have what others prepared.
        self.is_pooled = False
        self.executions = 0
        self.recoveries = 0

    def recover(self, statement: Statement, error: psycopg2.Error) -> str:
        """Return the message to send after `error`, which is one of RECOVERABLE."""
        if isinstance(error, errors.FeatureNotSupported):
            return statement.replace
        self.is_pooled = True
        self.recoveries += 1
        if self.recoveries == RECOVERIES:
            self._turn_off_if_frequent()
        is_unknown = isinstance(error, errors.InvalidSqlStatementName)
        return statement.prepare if is_unknown else statement.execute

    def _turn_off_if_frequent(self) -> None:
        if self.executions < RECOVERIES * RARE:
            self.enabled = False
            logger.warning(LOST)
        self.executions = self.recoveries = 0
