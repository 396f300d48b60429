"""Prepared statements that survive a pooler.

A pooler in transaction mode may send each message to another server connection, which has not
prepared what the one before has, or has it already. So each statement's name is a digest of its
text: a name stands for the same statement on every server connection, whichever process prepared
it. If the server says that a name is unknown or taken, it executed nothing, and the statement is
sent again (docs/decisions/021-prepared-statements.md).
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

# The server says that the name is unknown, that it is taken, or, after a migration, that the result
# would have other types than when the statement was prepared. Each undoes the whole message.
RECOVERABLE = (
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.FeatureNotSupported,
)

# Sent before a statement if the role or the database has a stricter default, which fails if another
# statement changed a row meanwhile. It is part of the message, so it costs no round trip, and ends
# with it, so a pooler has nothing to keep.
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "

# After so many recoveries, each of which sends a statement again, check whether they are rare.
# While a pooler's server connections are new, a process sees fewer: at most one for each of its
# connections and each statement.
RECOVERIES = 1000
RARE = 4  # executions for each recovery
LOST = (
    "Prepared statements are turned off, because the database or its pooler forgets or refuses "
    "most of them. DB_PREPARED_STATEMENTS=false turns them off from the start."
)

# The names that one connection has sent, and whether the statement is surely prepared. It is not
# sure after an error in the message that prepares and executes, because PREPARE is never undone.
Names = dict[str, bool]


class _Placeholders(dict[str, str]):
    """The number of each parameter, in the order in which they first occur."""

    def __missing__(self, name: str) -> str:
        self[name] = f"${len(self) + 1}"
        return self[name]


class Statement:
    """A statement with parameters, as plain SQL and as the commands that prepare and execute it.

    Each is a format for psycopg2, which must be called with parameters, if only with none in a
    dictionary: without them it leaves `%%` as it is.
    """

    __slots__ = ("execute", "name", "prepare", "replace", "sql")

    def __init__(self, sql: str, types: Mapping[str, str]) -> None:
        """Take `sql` with its parameters as `%(name)s`, and their `types` in Postgres."""
        numbers = _Placeholders()
        body = f"AS {sql % numbers}"
        arguments = ""
        if numbers:
            body = f"({', '.join(types[name] for name in numbers)}) {body}"
            arguments = f" ({', '.join(f'%({name})s' for name in numbers)})"
        self.sql = sql
        self.name = f"task_api_{sha256(body.encode()).hexdigest()[:24]}"
        self.execute = f"EXECUTE {self.name}{arguments}"
        self.prepare = f"PREPARE {self.name} {body.replace('%', '%%')}; {self.execute}"
        self.replace = f"DEALLOCATE {self.name}; {self.prepare}"

    def __str__(self) -> str:
        return self.sql


def statement(clause: ClauseElement, dialect: Dialect) -> Statement:
    """Return `clause` as a Statement: its parameters have the types that SQLAlchemy gives them."""
    compiled = clause.compile(dialect=dialect)
    binds = compiled.binds  # type: ignore[attr-defined]
    types = {name: _type(parameter.type, dialect) for name, parameter in binds.items()}
    return Statement(str(compiled), types)


def _type(kind: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the name of a type in Postgres, which infers the type of an `unknown` parameter."""
    return "unknown" if isinstance(kind, NullType) else kind.compile(dialect)


class PreparedStatements:
    """How one database and its pooler take prepared statements. Its connections share this."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        # Whether connections share server connections, where others have prepared statements.
        self.is_pooled = False
        self.prefix = ""  # READ_COMMITTED, once the default turned out to be another
        self.executions = 0
        self.recoveries = 0

    def plain(self, statement: Statement) -> str:
        """Return the message that executes `statement` and prepares nothing."""
        return f"{self.prefix}{statement.sql}"

    def message(self, statement: Statement, names: Names) -> str:
        """Return the message that most likely executes `statement` on the connection of `names`."""
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
        self.is_pooled = True  # EXECUTE is sent first only if this connection prepared the name
        return statement.prepare

    def _count_recovery(self) -> None:
        self.recoveries += 1
        if self.recoveries == RECOVERIES:
            if self.enabled and self.executions < RECOVERIES * RARE:
                self.enabled = False
                logger.warning(LOST)
            self.executions = self.recoveries = 0
