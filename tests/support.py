"""What several test files share: tokens made by hand, and services and databases to break."""

import asyncio
import hashlib
import hmac
import io
import json
import logging
import secrets
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import httpx
import psycopg2
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

import models  # noqa: F401  (fills the metadata)
from logs import LineFormatter
from main import create_app
from tests.conftest import ORIGIN, SECRET, bearer, make_settings, serving

Value = TypeVar("Value")

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a client would make one, which takes time
HEADER = {"alg": "HS256", "typ": "JWT"}

INTERNAL_ERROR = {"detail": "Something went wrong on our side.", "code": "INTERNAL_ERROR"}
DATABASE_UNAVAILABLE = {
    "detail": "The database cannot be reached at the moment; try again.",
    "code": "DATABASE_UNAVAILABLE",
}
OVERLOADED = {
    "detail": "There are more requests than can be answered in time; try again.",
    "code": "OVERLOADED",
}


def forge(
    payload: object,
    header: object = HEADER,
    secret: str = SECRET,
    digest: Callable[..., Any] = hashlib.sha256,
) -> str:
    """A token with any payload and header at all (bytes stay as they are), signed by HMAC."""
    signed = f"{base64url(header)}.{base64url(payload)}"
    signature = hmac.digest(secret.encode(), signed.encode(), digest().name)
    return f"{signed}.{base64url(signature)}"


def base64url(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(user_id: str, **others: Any) -> dict[str, Any]:
    """The claims of a good token, and others."""
    return {"sub": user_id, "exp": int(time.time()) + 3600, **others}


def sql(url: URL, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Runs a statement past the service."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def connect(url: URL) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(
        host=url.query.get("host"),
        port=url.port,
        user="postgres",
        dbname=url.database,
        application_name="tests",
    )
    connection.autocommit = True
    return connection


@contextmanager
def database_of_its_own(postgres: URL, *, tables: bool = True) -> Iterator[URL]:
    """A database for a test that breaks it."""
    name = f"test_{secrets.token_hex(4)}"
    sql(postgres, f"CREATE DATABASE {name}")
    url = postgres.set(database=name)
    if tables:
        engine = create_engine(url.set(drivername="postgresql+psycopg2"), poolclass=NullPool)
        SQLModel.metadata.create_all(engine)
    try:
        yield url
    finally:
        sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def service(url: URL, user_id: str = "alice", **settings: Any) -> Iterator[httpx.Client]:
    """A service of its own on `url`, and a user's client of it, a browser at the allowed origin."""
    app = create_app(make_settings(url, **{"environment": "production", **settings}))
    headers = {"Origin": ORIGIN, **bearer(user_id)}
    with (
        serving(app) as base_url,
        httpx.Client(base_url=base_url, headers=headers, timeout=20, verify=NO_TLS) as client,
    ):
        yield client


@contextmanager
def locked_tasks(url: URL) -> Iterator[Callable[[], None]]:
    """Holds a lock which every statement on tasks waits for; gives what releases it."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        yield connection.rollback


def backends_that_wait(url: URL) -> list[int]:
    """The process ids of the service's backends that wait for a lock."""
    rows = sql(
        url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name <> 'tests' AND wait_event_type = 'Lock'",
    )
    return [pid for (pid,) in rows]


def eventually(question: Callable[[], Value], seconds: float = 10) -> Value:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return answer


@contextmanager
def recorded_log() -> Iterator[io.StringIO]:
    """What the service writes to stdout meanwhile. Start the service before."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and isinstance(handler.formatter, LineFormatter)
    ]
    assert len(handlers) == 1
    client_logger, stream = logging.getLogger("httpx"), io.StringIO()
    level, stdout = client_logger.level, handlers[0].setStream(stream)
    client_logger.setLevel(logging.WARNING)  # it is the test's, in the same process
    try:
        yield stream
    finally:
        client_logger.setLevel(level)
        handlers[0].setStream(stdout)


class Proxy:
    """A way over TCP to a database, closed at first; it can be opened, held up and closed."""

    def __init__(self, target: URL) -> None:
        self._socket = f"{target.query['host']}/.s.PGSQL.5432"
        self._database = target.database
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def run(self, started: threading.Event) -> None:
        self._loop, self._stop, self._flowing = (
            asyncio.get_running_loop(),
            asyncio.Event(),
            asyncio.Event(),
        )
        await self._open()
        await self._close()
        started.set()
        await self._stop.wait()
        await self._close()

    @property
    def url(self) -> URL:
        return URL.create("postgresql", "postgres", None, "127.0.0.1", self._port, self._database)

    def open(self) -> None:
        self._do(self._open())

    def close(self) -> None:
        """Refuses connections, and cuts those that are open."""
        self._do(self._close())

    def hold(self) -> None:
        """Takes connections and data, and passes nothing on."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut(self) -> None:
        """Cuts the connections that are open, and with them what is held; takes new ones."""
        self._do(self._cut())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _open(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._flowing.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def proxy(target: URL) -> Iterator[Proxy]:
    """A `Proxy` that runs in a thread of its own."""
    way, started = Proxy(target), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(way.run(started)))
    thread.start()
    assert started.wait(5)
    try:
        yield way
    finally:
        way.stop()
        thread.join(5)
