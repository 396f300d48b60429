"""The service on a real Postgres of its own, and the cast: alice owns tasks, bob does not.

The database is made in a temporary folder and removed afterwards; settings of the machine, and a
`.env`, play no part.
"""

import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg2
import pytest
import uvicorn
from fastapi import FastAPI
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL, make_url

SECRET = "tests-only-" + secrets.token_urlsafe(32)
ORIGIN = "https://app.example.com"
TLS = ssl.create_default_context()  # which nothing here speaks; httpx would make one a client

from config import Settings  # noqa: E402

ENV_FILE = Settings.model_config["env_file"]
Settings.model_config["env_file"] = None  # before main.py reads them
for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)

from development.database import running_postgres  # noqa: E402
from main import create_app  # noqa: E402
from postgres.driver import libpq_parameters  # noqa: E402
from serving import server  # noqa: E402
from tokens.verifier import make_token  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--partitioned", metavar="DSN", help="use this database, see tests/test_partitions.py"
    )


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[URL]:
    """A Postgres that lives as long as the tests, and does not wait for the disk."""
    if given := pytestconfig.getoption("--partitioned"):
        yield make_url(given)
        return
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET synchronous_commit = off")
            cursor.execute("SELECT pg_reload_conf()")
        yield url


def connect(url: URL) -> Connection:
    """A connection in autocommit, past the service."""
    connection: Connection = psycopg2.connect(**libpq_parameters(url))
    connection.autocommit = True
    return connection


@pytest.fixture(scope="session")
def settings(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the service that most tests share."""
    return make_settings(postgres, data_dir=tmp_path_factory.mktemp("data"))


def make_settings(url: URL, **others: Any) -> Settings:
    """Settings for a service on `url`, apart from the environment and `.env`."""
    values = {
        "database_url": url.render_as_string(hide_password=False),
        "better_auth_secret": SECRET,
        "allowed_origins": ORIGIN,
        "db_pool_size": 5,
    }
    return Settings(_env_file=None, **{**values, **others})


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serves `app` on a free port in a thread of its own; gives its base URL."""
    serving = uvicorn.Server(server.config(app, app.state.settings))
    listener = socket.create_server(("127.0.0.1", 0))
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


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture(scope="session")
def base_url(app: FastAPI, postgres: URL) -> Iterator[str]:
    with serving(app) as url, closing(connect(postgres)) as connection:
        with connection.cursor() as cursor:
            while True:  # on a busy machine the first attempt to migrate may take too long
                cursor.execute("SELECT to_regclass('tasks')")
                if cursor.fetchone() != (None,):
                    break
                time.sleep(0.1)
        yield url


def bearer(user_id: str) -> dict[str, str]:
    """The header that makes a request `user_id`'s."""
    return {"Authorization": f"Bearer {make_token(user_id, SECRET)}"}


@pytest.fixture
def alice() -> str:
    """A user with no tasks yet; another one in every test."""
    return f"alice_{secrets.token_hex(8)}"


@pytest.fixture
def bob() -> str:
    return f"bob_{secrets.token_hex(8)}"


@pytest.fixture
def client(base_url: str, alice: str) -> Iterator[httpx.Client]:
    """Alice's client: her token, and paths relative to the service."""
    with httpx.Client(base_url=base_url, headers=bearer(alice), verify=TLS) as client:
        yield client


@pytest.fixture
def anonymous(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, verify=TLS) as client:
        yield client


@pytest.fixture
def database(postgres: URL, base_url: str) -> Iterator[Connection]:
    """A connection to the same database, past the service, which has migrated it."""
    with closing(connect(postgres)) as connection:
        yield connection


@pytest.fixture
def create(client: httpx.Client, alice: str) -> Callable[..., dict[str, Any]]:
    """Creates one of alice's tasks and gives it as it was answered."""

    def create(title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
        response = client.post(f"/api/{alice}/tasks", json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    return create
