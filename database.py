"""The database for the routes: an engine, a pool, and the session that routes depend on."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Annotated, Any

import psycopg2
from fastapi import Depends, Request
from psycopg2.errors import ReadOnlySqlTransaction
from sqlalchemy import ClauseElement, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import Scope

from condition import Condition
from errors import APIError, DatabaseNotMigrated, DatabaseUnavailable, DatabaseUnusable
from observability.logs import logger
from observability.timing import RequestTiming
from postgres import cancellation, driver, prepared
from postgres.async_connection import Row
from postgres.dialect import DIALECT, Dialect, libpq_parameters
from postgres.pool import Pool
from postgres.prepared import PreparedStatements, Statement
from postgres.probe import Probe

# Seconds within which a write must be sent. A later write might still be executed, but its response
# would arrive too late, so the client would not know.
STATEMENT_START_DEADLINE = driver.STATEMENT_TIMEOUT - 1
POOL_TIMEOUT = 2.0  # seconds to wait for a pooled connection

# Parameters of libpq. None of them needs startup `options`, which a pooler such as Neon's refuses.
# Keep-alives detect a peer that has vanished. Disabling GSS saves one round trip.
LIBPQ_DEFAULTS = {
    "application_name": "task-management-api",
    "gssencmode": "disable",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
}


def compile_sql(statement: ClauseElement) -> str:
    """Return the SQL of `statement`, with its bind parameters as `%(name)s`."""
    return str(statement.compile(dialect=DIALECT))


def prepare(statement: ClauseElement) -> Statement:
    """Return `statement` for `Session.fetch`, which prepares it once per connection.

    Building and hashing a statement for every request costs as much as running it. Planning it
    costs Postgres several times as much.
    """
    return prepared.statement(statement, DIALECT)


# Logged with errors after which the client has to check whether a write was executed.
OUTCOME_UNKNOWN = "no response to the statement, which may or may not have been executed"


class ConnectionLost(DatabaseUnavailable):
    """The connection broke during a statement, which may or may not have been executed."""


class Session(AsyncSession):
    """SQLModel's session, with a shortcut for the prepared statements of the routes.

    `fetch` checks a connection out of the pool for its one statement and returns it before the
    response is written, so that no request holds a connection while it waits for anything else. A
    request that only uses `fetch` has nothing to close. SQLAlchemy's own session is initialized
    when it is first used. It may hold a connection, so it is closed when its request ends, as
    FastAPI closes a dependency with `yield`. A session without a request must be closed by its
    owner.
    """

    def __init__(
        self,
        database: "Database",
        timing: RequestTiming,
        release_slot: Callable[[], None],
        request_scope: Scope | None,
    ) -> None:
        self.database = database
        self.timing = timing
        self.release_slot = release_slot
        self.request_scope = request_scope

    def __getattr__(self, name: str) -> Any:
        """Initialize SQLAlchemy's session when one of its attributes is first used.

        Initializing it for every request would take a tenth of the request's time.
        """
        if "sync_session" in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        super().__init__(self.database.engine)
        if self.request_scope is not None:
            _exit_stack(self.request_scope).push_async_callback(self._close_after_request)
        return getattr(self, name)

    async def _close_after_request(self) -> None:
        """Return the connection, even if the request is being cancelled.

        The response has been sent, so an error is only logged.
        """
        try:
            await asyncio.shield(asyncio.create_task(self.close()))
        except Exception:
            logger.exception("the session of a request could not be closed")

    async def fetch(
        self,
        statement: str | Statement,
        parameters: Mapping[str, Any],
        *,
        retry: bool,
        last: bool = False,
    ) -> list[Row]:
        """Return the rows of one statement, in one round trip and one transaction.

        It uses a connection of its own, even if this session has begun an ordinary transaction. So
        commit that first: otherwise the statement doesn't see its changes, and may wait for them.
        Set `retry` if the statement has no further effect when it is executed a second time. It is
        then sent once more, on a new connection, if the first connection turns out to be dead. Set
        `last` if this statement returns few rows, and the request needs no other one if there is a
        row. The connection and the slot are then released before the response is made. Raises
        DatabaseUnavailable, DatabaseNotMigrated, and psycopg2.Error for other errors.
        """
        # The time limit of the first statement includes the request's wait for a slot.
        started_at = perf_counter() - self.timing.first_wait()
        start_by = started_at + (driver.STATEMENT_TIMEOUT if retry else STATEMENT_START_DEADLINE)
        try:
            return await self._fetch_once(statement, parameters, started_at, start_by, last=last)
        except ConnectionLost:
            if not retry:
                raise
            return await self._fetch_once(
                statement, parameters, started_at, start_by, last=last, fresh=True
            )

    async def _fetch_once(
        self,
        statement: str | Statement,
        parameters: Mapping[str, Any],
        started_at: float,
        start_by: float,
        *,
        last: bool,
        fresh: bool = False,
    ) -> list[Row]:
        database, timing = self.database, self.timing
        if database.condition.is_foreign:
            raise DatabaseNotMigrated("another program made the table tasks")
        requested_at = perf_counter()
        try:
            connection = None if fresh else database.pool.checkout()
            if connection is None:
                connection = await database.connection(start_by - requested_at, fresh=fresh)
        finally:
            acquired_at = perf_counter()
            timing.connection += acquired_at - requested_at
        is_released = False

        def release(rows: list[Row]) -> None:
            nonlocal is_released
            is_released = True
            database.pool.release(connection)
            if rows:
                self.release_slot()

        try:
            if acquired_at > start_by:
                raise DatabaseUnavailable("connecting left no time for the statement")
            return await connection.fetch(
                statement, parameters, acquired_at - started_at, on_rows=release if last else None
            )
        except psycopg2.Error as error:
            if connection.dead:
                raise ConnectionLost(f"{OUTCOME_UNKNOWN}: {type(error).__name__}") from error
            if (response := await database.explain(error)) is not None:
                raise response from error
            raise
        except TimeoutError as error:
            database.pool.close_unused_since(connection.began_at)
            raise DatabaseUnavailable(f"{OUTCOME_UNKNOWN}: it took too long") from error
        finally:
            if not is_released:
                database.pool.release(connection)
            timing.database += perf_counter() - acquired_at


class Database:
    """The pool and the engine of one process, and a separate connection for the health check."""

    def __init__(
        self,
        url: URL,
        pool_size: int,
        max_overflow: int = 0,
        *,
        prepared_statements: bool = True,
        on_connect: Callable[[driver.Connection], None] = lambda _: None,
    ) -> None:
        self._on_connect = on_connect
        self._parameters = LIBPQ_DEFAULTS | libpq_parameters(url)
        self.pool = Pool(self._connect, pool_size, max_overflow, POOL_TIMEOUT)
        self.engine = create_async_engine(
            url.set(drivername="postgresql+psycopg2_asyncio"),
            # The engine keeps no connections of its own: it takes them from the pool.
            poolclass=NullPool,
            creator=lambda: await_only(self.pool.acquire()),
            use_native_hstore=False,
        )
        dialect = self.engine.dialect
        assert isinstance(dialect, Dialect)
        dialect.release = self.pool.release
        event.listen(self.engine.sync_engine, "handle_error", self._explain)
        self._probe = Probe(self._connect)
        secrets = [self._parameters.get(name) for name in ("password", "sslpassword")]
        self.condition = Condition(
            self._probe, [str(secret) for secret in secrets if secret], self.pool.close
        )
        self.connection_class = driver.Connection
        self.statements = PreparedStatements(enabled=prepared_statements)

    async def _connect(self) -> driver.Connection:
        try:
            connection = await driver.connect(kind=self.connection_class, **self._parameters)
        except (psycopg2.Error, TimeoutError) as error:
            self.condition.not_connected(error)
            raise
        self.condition.connected()
        connection.statements = self.statements
        self._on_connect(connection)
        return connection

    async def connection(self, wake_timeout: float, *, fresh: bool) -> driver.Connection:
        """Return a connection from the pool (see Pool.acquire). Raises DatabaseUnavailable."""
        try:
            return await self.pool.acquire(fresh=fresh, wake_timeout=wake_timeout)
        except (psycopg2.Error, TimeoutError) as error:
            if not self.pool.is_connected():
                self.condition.not_connected(error)
            raise DatabaseUnavailable(f"no connection: {type(error).__name__}") from error

    async def warm_up(self) -> None:
        """Open the pool's permanent connections, so that the first requests don't wait for them."""
        try:
            await self.pool.warm_up()
        except (psycopg2.Error, TimeoutError) as error:
            self.condition.not_connected(error)

    def session(
        self,
        timing: RequestTiming | None = None,
        release_slot: Callable[[], None] = lambda: None,
        request_scope: Scope | None = None,
    ) -> Session:
        """Return a session on this database that adds its times to `timing`.

        `Session.fetch` calls `release_slot` after the last statement of a request. The session is
        closed when the request of `request_scope` ends. Without that, close it with
        `async with database.session() as session:`.
        """
        return Session(self, timing or RequestTiming(), release_slot, request_scope)

    async def explain(self, error: psycopg2.Error) -> APIError | None:
        """Return the response to a statement's `error`, or None if the statement itself is wrong.

        After a failover, the connections may lead to a server that is now a replica, so they are
        closed. Raises DatabaseUnavailable.
        """
        if isinstance(error, ReadOnlySqlTransaction):
            self.close_connections()
        return await self.condition.explain(error)

    def _explain(self, context: ExceptionContext) -> None:
        """Raise what `Session.fetch` raises if SQLAlchemy finds that the database is not set up."""
        error = context.original_exception
        if isinstance(error, psycopg2.Error):
            response = await_only(self.explain(error))
            if isinstance(response, DatabaseNotMigrated | DatabaseUnusable):
                raise response from error

    def close_connections(self) -> None:
        """Close every connection; one that is in use closes when it returns to the pool."""
        self.pool.close()
        self._probe.close()

    async def close(self) -> None:
        """Close every connection, and wait until the abandoned statements are cancelled."""
        self.condition.close()
        self.close_connections()
        await self.engine.dispose()
        await cancellation.wait_for_cancellations()


async def get_session(request: Request) -> Session:
    """Return a session on the application's database, which is closed when the request ends."""
    database: Database = request.app.state.database
    scope = request.scope
    slot = scope.get("slot")  # there is none if the route is not a TaskRoute
    if slot is None:
        return database.session(scope.get("timing"), request_scope=scope)
    return database.session(scope["timing"], slot.release, scope)


def _exit_stack(scope: Scope) -> AsyncExitStack:
    """Return the stack that is closed after the response and its background tasks.

    FastAPI has one around its own routing. On the fast path, middleware/errors.py closes this one.
    """
    stack: AsyncExitStack | None = scope.get("fastapi_middleware_astack")
    return scope.setdefault("exit_stack", AsyncExitStack()) if stack is None else stack


SessionDep = Annotated[Session, Depends(get_session)]
