"""Prepared statements that work through a pooler.

A pooler in transaction mode may send each message to a different server connection, on which the
statement may or may not be prepared. So each statement's name is a digest of its text. A name then
means the same statement on every server connection, whichever process prepared it. If the server
says that a name is unknown or taken, it has executed nothing, and the statement is sent again
(docs/decisions/021-prepared-statements.md).
"""

import logging
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import psycopg2
from psycopg2 import errors
from sqlalchemy import ClauseElement
from sqlalchemy.engine import Dialect
from sqlalchemy.types import NullType, TypeEngine

logger = logging.getLogger("tasks")

# These errors say that the name is unknown, that it is taken, or that a migration changed the types
# of the result after the statement was prepared. Each of them rolls back the whole message.
RECOVERABLE = (
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.FeatureNotSupported,
)

# Sent before each statement if the role or the database has a stricter default, under which a
# statement fails if another one changes its row at the same time. It is part of the statement's
# message, so it costs no round trip. Its effect ends with the message, so a pooler keeps no state.
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "

# After this many recoveries, each of which sends a statement again, check whether they are rare.
# A pooler's new server connections cause fewer: at most one for each connection and statement.
RECOVERIES = 1000
RARE = 4  # executions for each recovery
LOST = (
    "Prepared statements are turned off, because the database or its pooler forgets or refuses "
    "most of them. DB_PREPARED_STATEMENTS=false turns them off from the start."
)

# The names that one connection has sent, and whether each statement is certainly prepared. After an
# error in a message that prepares and executes, that is uncertain: PREPARE is never rolled back.
Names = dict[str, bool]


class _Placeholders(dict[str, str]):
    """The numbers of parameters, in the order in which they first occur."""

    def __missing__(self, name: str) -> str:
        self[name] = f"${len(self) + 1}"
        return self[name]


class Statement:
    """A statement with parameters, as plain SQL and as the commands that prepare and execute it.

    Each of these is a psycopg2 query string. Always pass it with a dictionary of parameters, even
    an empty one, because without parameters psycopg2 leaves `%%` as it is.
    """

    __slots__ = ("execute", "is_prepared", "name", "prepare", "replace", "sql")

    def __init__(self, sql: str, types: Mapping[str, str] | None = None) -> None:
        """Build a statement from `sql`, whose parameters `%(name)s` have these `types`.

        Without `types`, it is never prepared, so Postgres plans it each time.
        """
        self.sql = sql
        self.is_prepared = types is not None
        if types is None:
            return
        numbers = _Placeholders()
        body = f"AS {sql % numbers}"
        arguments = ""
        if numbers:
            body = f"({', '.join(types[name] for name in numbers)}) {body}"
            arguments = f" ({', '.join(f'%({name})s' for name in numbers)})"
        self.name = f"task_api_{sha256(body.encode()).hexdigest()[:24]}"
        self.execute = f"EXECUTE {self.name}{arguments}"
        self.prepare = f"PREPARE {self.name} {body.replace('%', '%%')}; {self.execute}"
        self.replace = f"DEALLOCATE {self.name}; {self.prepare}"

    def __str__(self) -> str:
        return self.sql


def statement(clause: ClauseElement, dialect: Dialect) -> Statement:
    """Return `clause` as a Statement, whose parameters have the types that SQLAlchemy chose."""
    compiled = clause.compile(dialect=dialect)
    binds = compiled.binds  # type: ignore[attr-defined]
    types = {name: _type(parameter.type, dialect) for name, parameter in binds.items()}
    return Statement(str(compiled), types)


def _type(kind: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the name of a type in Postgres, or `unknown` to let Postgres infer it."""
    return "unknown" if isinstance(kind, NullType) else kind.compile(dialect)


class PreparedStatements:
    """The state of prepared statements on one database, which all connections to it share."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        # Whether a pooler shares its server connections, so that other clients may have prepared
        # statements.
        self.is_pooled = False
        self.prefix = ""  # READ_COMMITTED, once the default has proved to be stricter
        self.executions = 0
        self.recoveries = 0

    def plain(self, statement: Statement) -> str:
        """Return the message that executes `statement` and prepares nothing."""
        return f"{self.prefix}{statement.sql}"

    def message(self, statement: Statement, names: Names) -> str:
        """Return the message most likely to succeed on the connection that has sent `names`."""
        self.executions += 1
        is_prepared = self.is_pooled or names.get(statement.name)
        return f"{self.prefix}{statement.execute if is_prepared else statement.prepare}"

    def recover(self, statement: Statement, error: psycopg2.Error, names: Names) -> str:
        """Return the message to send after `error`, which is one of RECOVERABLE."""
        self._count_recovery()
        return f"{self.prefix}{self._recovery(statement, error, names)}"

    def _recovery(self, statement: Statement, error: psycopg2.Error, names: Names) -> str:
        if isinstance(error, errors.FeatureNotSupported):
            names.setdefault(statement.name, False)
            return statement.replace
        if isinstance(error, errors.DuplicatePreparedStatement):
            self.is_pooled |= statement.name not in names  # another connection prepared it
            names[statement.name] = True
            return statement.execute
        self.is_pooled = True  # the name was prepared on another server connection
        return statement.prepare

    def _count_recovery(self) -> None:
        self.recoveries += 1
        if self.recoveries == RECOVERIES:
            if self.enabled and self.executions < RECOVERIES * RARE:
                self.enabled = False
                logger.warning(LOST)
            self.executions = self.recoveries = 0
