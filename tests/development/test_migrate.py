"""In development the service migrates its database at start, even if it has to wait for it."""

import asyncio
from contextlib import ExitStack

import psutil
import pytest
from sqlalchemy.engine import URL

from development import migrate
from development.migrate import migrated
from observability import logs
from tests.support.processes import processes_of, until
from tests.support.services import database_of_its_own, sql
from tests.support.serving import make_settings

pytestmark = pytest.mark.slow  # each test waits for an attempt, or for the pause after it


def has_tables(url: URL) -> bool:
    return sql(url, "SELECT to_regclass('tasks') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_service_migrates_only_in_development(postgres: URL, environment: str) -> None:
    async def start(url: URL) -> bool:
        async with migrated(url, make_settings(url, environment=environment)):
            return has_tables(url)

    with database_of_its_own(postgres, tables=False) as url:
        assert asyncio.run(start(url)) == (environment == "development")


def test_a_failed_migration_is_logged_and_repeated(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "STARTUP_TIMEOUT", 30)
    monkeypatch.setattr(migrate, "INTERVAL", 0.1)

    async def start(url: URL) -> None:
        async with migrated(url, make_settings(url)):
            assert has_tables(url)

    said: list[tuple[object, ...]] = []

    def allow(*words: object) -> None:
        said.append(words)
        sql(url, "GRANT CREATE ON SCHEMA public TO guest")

    with database_of_its_own(postgres, tables=False) as url:
        sql(url, "CREATE ROLE guest LOGIN")
        monkeypatch.setattr(logs.logger, "warning", allow)
        asyncio.run(start(url.set(username="guest")))
        sql(url, "DROP OWNED BY guest")
        sql(url, "DROP ROLE guest")
    assert said == [
        (
            "The database can't be migrated yet: %s",
            "The migration failed: permission denied for schema public.",
        )
    ]


@pytest.mark.parametrize("comes", [True, False])
def test_a_missing_database_is_migrated_once_it_exists(
    postgres: URL, comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "INTERVAL", 0.1)
    monkeypatch.setattr(migrate, "STARTUP_TIMEOUT", 2)
    missing = postgres.set(database="not_yet")

    async def start(exits: ExitStack) -> None:
        async with migrated(missing, make_settings(missing)):
            if comes:
                sql(postgres, "CREATE DATABASE not_yet")
                exits.callback(sql, postgres, "DROP DATABASE not_yet WITH (FORCE)")
                await asyncio.to_thread(until, lambda: has_tables(missing), "the tables")

    with ExitStack() as exits:
        asyncio.run(start(exits))
    children = processes_of(psutil.Process())
    assert "alembic" not in str([child.cmdline() for child in children[1:]])
