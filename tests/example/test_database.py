"""The auth server's database, which a frontend of the user with another secret must not share."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import psycopg2
import pytest
from sqlalchemy.engine import URL

from examples import __main__ as example
from examples.database import NAME, auth_database
from tests.support.services import NOWHERE, database_of_its_own, sql
from tests.support.serving import make_settings


@pytest.fixture(autouse=True)
def absent(postgres: URL) -> None:
    """Drop the database, so that each test creates it."""
    sql(postgres, f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def test_the_auth_server_has_another_database_than_the_service(
    postgres: URL, tmp_path: Path
) -> None:
    with database_of_its_own(postgres) as service, patch.object(sys, "argv", ["examples"]):
        settings = make_settings(service, data_dir=tmp_path)
        variables = example.auth_variables(example.arguments(), settings, service)
        assert variables["DATABASE_URL"].partition("?")[0].endswith(f"/{NAME}")
        assert service.database != NAME
        in_it = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert sql(service.set(database=NAME), in_it) == []  # the database exists


def test_the_database_is_created_once(postgres: URL) -> None:
    with ThreadPoolExecutor(4) as threads:
        [found] = set(threads.map(auth_database, [postgres] * 4))
    assert found == auth_database(postgres) == postgres.set(database=NAME)


def test_the_database_is_created_with_the_users_own_connect_timeout(postgres: URL) -> None:
    auth_database(postgres.update_query_dict({"connect_timeout": "3"}))


def test_a_failure_is_reported_in_one_sentence() -> None:
    with pytest.raises(SystemExit) as raised:
        auth_database(NOWHERE)
    assert str(raised.value).startswith(f"The auth server's database {NAME} can't be created: ")
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value.__context__, psycopg2.OperationalError)
