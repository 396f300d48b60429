"""Run the service in a thread of the test process, and make requests to it."""

import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import uvicorn
from fastapi import FastAPI
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL

from config import Settings
from postgres.dialect import libpq_parameters
from serving import server
from tokens.verifier import make_token

SECRET = "tests-only-" + secrets.token_urlsafe(32)
ORIGIN = "https://app.example.com"
TLS = ssl.create_default_context()  # unused here; otherwise httpx makes one for each client


def connect(url: URL) -> Connection:
    """Return a connection in autocommit, directly to the database."""
    connection: Connection = psycopg2.connect(**libpq_parameters(url))
    connection.autocommit = True
    return connection


def make_settings(url: URL, **others: Any) -> Settings:
    """Return settings for a service on `url`, ignoring the environment and `.env`."""
    values = {
        "database_url": url.render_as_string(hide_password=False),
        "better_auth_secret": SECRET,
        "allowed_origins": ORIGIN,
        "db_pool_size": 5,
        "db_max_overflow": 0,
    }
    return Settings(_env_file=None, **{**values, **others})


@contextmanager
def serving(app: FastAPI, send_buffer: int = 0) -> Iterator[str]:
    """Serve `app` on a free port in its own thread, and yield the base URL.

    The kernel buffers some MB of a response, or about twice `send_buffer` bytes if that is set.
    """
    serving = uvicorn.Server(server.config(app, app.state.settings))
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer:  # a connection inherits it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    thread = threading.Thread(target=serving.run, args=([listener],))
    thread.start()
    try:
        while not serving.started:
            assert thread.is_alive(), "the service did not start"
            thread.join(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(15)


def bearer(user_id: str) -> dict[str, str]:
    """Return the Authorization header with a token of `user_id`."""
    return {"Authorization": f"Bearer {make_token(user_id, SECRET)}"}
