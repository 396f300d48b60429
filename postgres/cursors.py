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
        """Do nothing, because the rows are already in memory."""


class ServerCursor(Cursor):
    """A cursor whose rows stay in the server until they are fetched, for SQLAlchemy's `stream`.

    It ends with the transaction. SQLAlchemy decides how many rows it fetches at once.
    """

    portal: str

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        super().execute(f"DECLARE {self.portal} NO SCROLL CURSOR FOR {query}", vars)

    def fetchmany(self, size: int | None = None) -> list[Row]:
        return self._fetched(self.arraysize if size is None else size)

    def fetchall(self) -> list[Row]:
        return self._fetched("ALL")

    def _fetched(self, count: int | str) -> list[Row]:
        super().execute(f"FETCH {count} FROM {self.portal}")
        return super().fetchall()
