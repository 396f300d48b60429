"""The SQLAlchemy dialect that uses the connections of driver.py."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extras import register_uuid
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

from postgres.async_connection import CLOSED
from postgres.driver import BEGIN, Connection

NO_OPTION = "{} is not supported. Execute SET TRANSACTION {} first in the transaction instead."


class Dialect(PGDialect_psycopg2):
    """SQLAlchemy's psycopg2 dialect, with the asynchronous connections of driver.py."""

    driver = "psycopg2_asyncio"
    is_async = True
    supports_statement_cache = True
    # So that SQLAlchemy calls `do_terminate` for a connection whose session was never closed.
    has_terminate = True

    release: Callable[[Connection], None] = staticmethod(Connection.close)

    def on_connect(self) -> None:
        """Let every connection return a UUID, also those that only `Session.fetch` has used."""
        register_uuid()  # type: ignore[no-untyped-call]

    def do_close(self, dbapi_connection: Any) -> None:
        """Return a connection to the pool from which SQLAlchemy took it."""
        if dbapi_connection.busy:  # a task of the operation is still using it
            dbapi_connection.abandon()
        dbapi_connection.begin = BEGIN
        dbapi_connection.transaction += 1  # also if it was ended by a statement
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

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Set what begins the next transactions, so that the server keeps no state."""
        autocommit = level == "AUTOCOMMIT"
        dbapi_connection.begin = "" if autocommit else f"BEGIN ISOLATION LEVEL {level}; "

    def reset_isolation_level(self, dbapi_conn: Any) -> None:
        dbapi_conn.begin = BEGIN

    def set_readonly(self, connection: Any, value: Any) -> None:
        raise NotImplementedError(NO_OPTION.format("postgresql_readonly", "READ ONLY"))

    def set_deferrable(self, connection: Any, value: Any) -> None:
        raise NotImplementedError(NO_OPTION.format("postgresql_deferrable", "DEFERRABLE"))

    def do_commit(self, dbapi_connection: Any) -> None:
        if dbapi_connection.dead and dbapi_connection.begin:
            raise psycopg2.OperationalError(CLOSED)
        if dbapi_connection.is_in_transaction:
            await_only(dbapi_connection.end("COMMIT"))

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll back, or close the connection, which has the same effect."""
        if dbapi_connection.busy:
            dbapi_connection.abandon()
        elif dbapi_connection.is_in_transaction:
            try:
                await_only(dbapi_connection.end("ROLLBACK"))
            except (psycopg2.Error, TimeoutError):
                dbapi_connection.abandon()  # the `close` of SQLAlchemy's proxy does something else


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
