"""The SQLAlchemy dialect that uses the connections of driver.py."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import URL

from postgres.driver import Connection


class Dialect(PGDialect_psycopg2):
    """SQLAlchemy's psycopg2 dialect, with the asynchronous connections of driver.py."""

    driver = "psycopg2_asyncio"
    is_async = True
    supports_statement_cache = True
    # So that SQLAlchemy calls `do_terminate` for a connection whose session was never closed.
    has_terminate = True

    release: Callable[[Connection], None] = staticmethod(Connection.close)

    def do_close(self, dbapi_connection: Any) -> None:
        """Return a connection to the pool from which SQLAlchemy took it."""
        if dbapi_connection.busy:  # a task of the operation is still using it
            dbapi_connection.abandon()
        self.release(dbapi_connection)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection whose state SQLAlchemy does not know.

        The garbage collector may call this, in any thread.
        """
        if _running_loop() is dbapi_connection.loop:
            self._drop(dbapi_connection)
        else:
            dbapi_connection.loop.call_soon_threadsafe(self._drop, dbapi_connection)

    def _drop(self, connection: Connection) -> None:
        connection.abandon()
        self.release(connection)

    # Autocommit is the only mode.
    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None: ...
    def do_commit(self, dbapi_connection: Any) -> None: ...
    def do_rollback(self, dbapi_connection: Any) -> None: ...


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


registry.register("postgresql.psycopg2_asyncio", __name__, "Dialect")

DIALECT: PGDialect_psycopg2 = Dialect()  # type: ignore[no-untyped-call]


def libpq_parameters(url: URL) -> dict[str, Any]:
    """Return `url` as libpq's connection parameters."""
    parameters: dict[str, Any] = DIALECT.create_connect_args(url)[1]  # type: ignore[no-untyped-call]
    return parameters
