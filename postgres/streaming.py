"""Cursors that read the rows of a large result in parts, for SQLAlchemy's `stream`.

psycopg2 has named cursors for this, but not in its asynchronous mode.
"""

from itertools import count
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg2 import PGExecutionContext_psycopg2

from postgres.async_connection import Row
from postgres.driver import Cursor

_numbers = count(1)


class StreamingCursor(Cursor):
    """A cursor in the server, which ends with its transaction. It can only read.

    Like a named cursor of psycopg2, it has no description before the first rows have been fetched.
    """

    _name = ""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        self._name = f"stream_{next(_numbers)}"
        super().execute(f"DECLARE {self._name} NO SCROLL CURSOR FOR {query}", vars)

    def fetchone(self) -> Row | None:
        self._fetch("1")
        return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Row]:
        self._fetch(str(size or self.arraysize))
        return super().fetchall()

    def fetchall(self) -> list[Row]:
        self._fetch("ALL")
        return super().fetchall()

    def _fetch(self, rows: str) -> None:
        super().execute(f"FETCH {rows} FROM {self._name}")


class ExecutionContext(PGExecutionContext_psycopg2):
    """SQLAlchemy's, with these cursors."""

    def create_server_side_cursor(self) -> Any:
        return self.root_connection.connection.cursor(cursor_factory=StreamingCursor)
