"""Fixtures: the service on its own Postgres, and two users. Alice owns tasks; Bob has none.

The database is created in a temporary folder and removed afterwards. The tests ignore the settings
in the environment and in `.env`.
"""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL, make_url

import tests.support.environment  # noqa: F401  # isort: skip  (main.py reads settings)
from config import Settings
from development.database import running_postgres
from main import create_app
from tests.support.serving import TLS, bearer, connect, make_settings, serving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--partitioned",
        metavar="DSN",
        help="use this database, as tests/test_partitions.py and test_citus.py do",
    )


def pytest_configure() -> None:
    """Handle the signals that nohup(1) and a shell's background jobs have set to be ignored.

    The programs that the tests start would inherit this, and not stop on Ctrl+C.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            is_interrupt = number is signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run the tests. Each has its own Postgres and service.

    Two processes halve the time, because the tests wait as much as they compute. A part of the
    suite finishes sooner in one process, because one process collects the tests once.
    """
    options = config.option
    is_part = config.args_source is pytest.Config.ArgsSource.ARGS or options.keyword
    return 0 if is_part or options.partitioned or options.capture == "no" else 2


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[URL]:
    """A Postgres that runs for the whole session and does not wait for the disk."""
    if given := pytestconfig.getoption("--partitioned"):
        yield make_url(given)
        return
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET synchronous_commit = off")
            cursor.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def settings(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the service that most tests share."""
    return make_settings(postgres, data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture(scope="session")
def base_url(app: FastAPI, postgres: URL) -> Iterator[str]:
    with serving(app) as url, closing(connect(postgres)) as connection:
        with connection.cursor() as cursor:
            while True:  # on a busy machine the first attempt to migrate may time out
                cursor.execute("SELECT to_regclass('tasks')")
                if cursor.fetchone() != (None,):
                    break
                time.sleep(0.1)
        yield url


@pytest.fixture
def alice() -> str:
    """The id of a user without tasks, different in every test."""
    return f"alice_{secrets.token_hex(8)}"


@pytest.fixture
def bob() -> str:
    return f"bob_{secrets.token_hex(8)}"


@pytest.fixture
def client(base_url: str, alice: str) -> Iterator[httpx.Client]:
    """A client with alice's token and the service's base URL."""
    with httpx.Client(base_url=base_url, headers=bearer(alice), verify=TLS) as client:
        yield client


@pytest.fixture
def anonymous(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, verify=TLS) as client:
        yield client


@pytest.fixture
def database(postgres: URL, base_url: str) -> Iterator[Connection]:
    """A direct connection to the service's database, after the service has migrated it."""
    with closing(connect(postgres)) as connection:
        yield connection


@pytest.fixture
def create(client: httpx.Client, alice: str) -> Callable[..., dict[str, Any]]:
    """A function that creates a task for alice and returns the response's body."""

    def create(title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
        response = client.post(f"/api/{alice}/tasks", json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    return create


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings, and an empty folder where the service looks for `.env`."""
    monkeypatch.setattr(os, "environ", dict(os.environ))  # reading `.env` adds to it
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return monkeypatch
