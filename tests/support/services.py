"""Code that several test files share: forged tokens, and services and databases to break."""

import hashlib
import hmac
import io
import json
import logging
import secrets
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import httpx
import psycopg2
from fastapi import FastAPI
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

import database
import models  # noqa: F401  (fills the metadata)
from main import create_app
from observability.logs import LineHandler
from postgres import driver
from tests.support.serving import ORIGIN, SECRET, bearer, make_settings, serving

Value = TypeVar("Value")

# A URL where no database listens.
NOWHERE = URL.create("postgresql", "postgres", host="127.0.0.1", port=9, database="none")
A_MOMENT = 0.2  # seconds that a request waits for a database in these tests, instead of 4 and 5
NO_TLS = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # otherwise httpx makes one for each client, which is slow
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
TOO_MANY_REQUESTS = {
    "detail": "Too many of your requests are waiting; send fewer at once.",
    "code": "TOO_MANY_REQUESTS",
}


def forge(
    payload: object,
    header: object = HEADER,
    secret: str = SECRET,
    digest: Callable[..., Any] = hashlib.sha256,
) -> str:
    """Return a token with any payload and header (bytes stay as they are), signed by HMAC."""
    signed = f"{base64url(header)}.{base64url(payload)}"
    signature = hmac.digest(secret.encode(), signed.encode(), digest().name)
    return f"{signed}.{base64url(signature)}"


def base64url(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def nested(depth: int) -> bytes:
    return b'{"alg": "HS256", "x": ' + b"[" * depth + b"]" * depth + b"}"


def raw(claims: dict[str, Any], **texts: str) -> bytes:
    """Return a payload with the values in `texts` as written. They need not be valid JSON."""
    fields = [f'"{name}": {json.dumps(value)}' for name, value in claims.items()]
    fields = [field for field in fields if field.split('"')[1] not in texts]
    return ("{" + ", ".join([*fields, *(f'"{n}": {t}' for n, t in texts.items())]) + "}").encode()


def claims(user_id: str, **others: Any) -> dict[str, Any]:
    """Return the claims of a valid token, changed by `others`."""
    return {"sub": user_id, "exp": int(time.time()) + 3600, **others}


def sql(url: URL, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement directly on the database, without the service."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def connect(url: URL) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(
        host=url.host or url.query.get("host"),
        port=url.port,
        user=url.username if url.host else "postgres",
        password=url.password,
        dbname=url.database,
        application_name="tests",
    )
    connection.autocommit = True
    return connection


@contextmanager
def database_of_its_own(postgres: URL, *, tables: bool = True) -> Iterator[URL]:
    """Create a database for a test that breaks it."""
    name = f"test_{secrets.token_hex(4)}"
    sql(postgres, f"CREATE DATABASE {name}")
    url = postgres.set(database=name)
    if tables:
        create_tables(url)
    try:
        yield url
    finally:
        sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def create_tables(url: URL) -> None:
    """Create the tables of the models, without Alembic."""
    engine = create_engine(url.set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    SQLModel.metadata.create_all(engine)


@contextmanager
def unreachable(**settings: Any) -> Iterator[httpx.Client]:
    """Run a service that cannot reach its database and waits only briefly; yield alice's client."""
    with (
        patch.object(driver, "STATEMENT_TIMEOUT", A_MOMENT),
        patch.object(database, "STATEMENT_START_DEADLINE", A_MOMENT),
        service(NOWHERE, **settings) as client,
    ):
        yield client


@contextmanager
def service(url: URL, user_id: str = "alice", **settings: Any) -> Iterator[httpx.Client]:
    """Run a service on `url`, and yield a client for it.

    The client sends the user's token and an allowed Origin, as a browser would.
    """
    with service_and_app(url, user_id, **settings) as (client, _):
        yield client


@contextmanager
def service_and_app(
    url: URL, user_id: str = "alice", **settings: Any
) -> Iterator[tuple[httpx.Client, FastAPI]]:
    """Run a service as `service` does, and yield its application too."""
    app = create_app(make_settings(url, **{"environment": "production", **settings}))
    headers = {"Origin": ORIGIN, **bearer(user_id)}
    with (
        serving(app) as base_url,
        httpx.Client(base_url=base_url, headers=headers, timeout=20, verify=NO_TLS) as client,
    ):
        yield client, app


def until_waiting(app: FastAPI, count: int) -> None:
    """Wait until `count` requests wait for a slot."""
    eventually(lambda: app.state.admission.waiting == count)


@contextmanager
def locked_tasks(url: URL) -> Iterator[Callable[[], None]]:
    """Hold a lock that every statement on tasks waits for; yield a function that releases it."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        yield connection.rollback


def backends_that_wait(url: URL) -> list[int]:
    """Return the process ids of the service's backends that wait for a lock."""
    rows = sql(
        url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name <> 'tests' AND wait_event_type = 'Lock'",
    )
    return [pid for (pid,) in rows]


def eventually(question: Callable[[], Value], seconds: float = 10) -> Value:
    """Return the first result of `question` that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)
    return answer


@contextmanager
def recorded_log() -> Iterator[io.StringIO]:
    """Record what the service writes to stdout. The service must already be running."""
    root, client_logger, stream = logging.getLogger(), logging.getLogger("httpx"), io.StringIO()
    [stdout] = [handler for handler in root.handlers if isinstance(handler, LineHandler)]
    recorder = logging.StreamHandler(stream)
    recorder.setFormatter(stdout.formatter)
    level = client_logger.level
    client_logger.setLevel(logging.WARNING)  # of the test's own client, in the same process
    root.addHandler(recorder)
    root.removeHandler(stdout)
    try:
        yield stream
    finally:
        client_logger.setLevel(level)
        root.addHandler(stdout)
        root.removeHandler(recorder)


@contextmanager
def recorded_messages() -> Iterator[list[str]]:
    """Record the service's log messages from its start on, without the rest of the lines."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    service_logger = logging.getLogger("tasks")
    service_logger.addHandler(handler)
    try:
        yield messages
    finally:
        service_logger.removeHandler(handler)
