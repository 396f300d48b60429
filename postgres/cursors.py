"""The cursors with which SQLAlchemy executes statements and reads their rows."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy.util import await_only

from postgres.async_connection import CLOSED, Row

if TYPE_CHECKING:
    from postgres.driver import Connection


class Cursor(extensions.cursor):
    """A cursor for SQLAlchemy, which calls it inside `greenlet_spawn`.

    It executes strings, so nothing is sent again after a deadlock or another error: the whole
    transaction was rolled back.
    """

    connection: "Connection"
    _counted: int | None = None  # rows that `executemany` has changed

    @property
    def rowcount(self) -> int:
        """The number of rows of the last statement, or of all statements of `executemany`.

        SQLAlchemy compares it with the number of objects that it has changed.
        """
        return super().rowcount if self._counted is None else self._counted

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        connection, self._counted = self.connection, None
        if connection.dead:
            raise psycopg2.OperationalError(CLOSED)
        begin = "" if connection.is_in_transaction else connection.begin
        await_only(connection.execute(self, f"{begin}{query}", vars))

    def executemany(self, query: Any, vars_list: Iterable[Any]) -> None:
        """Execute `query` with each of the parameters; psycopg2's own method would block."""
        counted = 0
        for each in vars_list:
            self.execute(query, each)
            counted += super().rowcount
        self._counted = counted

    async def _async_soft_close(self) -> None:
        """Do nothing, because the rows are in memory or end with the transaction."""


class ServerCursor(Cursor):
    """A cursor whose rows stay in the server until they are fetched, for SQLAlchemy's `stream`.

    It ends with its last row or with its transaction. SQLAlchemy decides how many rows it fetches
    at once.
    """

    portal: str
    _transaction = -1  # in which it was declared
    _has_more = True

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        super().execute(f"DECLARE {self.portal} NO SCROLL CURSOR FOR {query}", vars)
        self._transaction = self.connection.transaction

    def fetchmany(self, size: int | None = None) -> list[Row]:
        wanted = self.arraysize if size is None else size
        rows = self._fetched(str(wanted))
        if self._has_more and len(rows) < wanted:
            self._end()
        return rows

    def fetchall(self) -> list[Row]:
        rows = self._fetched("ALL")
        if self._has_more:
            self._end()
        return rows

    def _fetched(self, count: str) -> list[Row]:
        if not self._has_more:
            return []
        if self.connection.transaction != self._transaction:
            # The connection may belong to another request by now.
            raise psycopg2.ProgrammingError("a stream ends with its transaction")
        super().execute(f"FETCH {count} FROM {self.portal}")
        return super().fetchall()

    def _end(self) -> None:
        """Close the cursor in the server, where it would keep its tables in use."""
        self._has_more = False
        await_only(self.connection.close_portal(self.portal))
