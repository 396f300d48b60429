"""Fixtures: the service with an endpoint that returns the request as the service has read it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.engine import URL

from main import create_app
from serving import server
from tests.http1.wire import Address
from tests.support.processes import until
from tests.support.services import database_of_its_own
from tests.support.serving import make_settings


async def read(request: Request) -> JSONResponse:
    """Read the whole request, and return it as JSON."""
    body = await request.body()
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
    ]
    return JSONResponse(
        {
            "method": request.method,
            "target": target.decode("latin-1"),
            "body": body.decode("latin-1"),
            "headers": headers,
        }
    )


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@contextmanager
def served(app: FastAPI) -> Iterator[Address]:
    """Serve `app` as serving/server.py does, on a free port."""
    serving = uvicorn.Server(server.config(app, app.state.settings))
    listener = socket.create_server(("127.0.0.1", 0), backlog=server.BACKLOG)
    thread = threading.Thread(target=serving.run, args=([listener],))
    thread.start()
    try:
        until(lambda: serving.started or not thread.is_alive(), "the service to start")
        yield Address("127.0.0.1", listener.getsockname()[1])
    finally:
        serving.should_exit = True
        thread.join(15)
        listener.close()


@pytest.fixture(scope="package")
def database_url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="package")
def address(database_url: URL) -> Iterator[Address]:
    app = create_app(make_settings(database_url, environment="production", host="127.0.0.1"))
    for path in ("/echo", "/%65cho"):
        app.add_route(path, read, METHODS)
    with served(app) as address:
        yield address
