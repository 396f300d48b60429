"""Text is UTF-8 on every connection, whatever the server, the role or the environment sets."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy.engine import URL

from database import Database
from errors import DatabaseNotMigrated
from errors.handlers import NO_SUCH_CHARACTER, TOO_LONG
from observability.connection_warnings import ENCODING, ConnectionWarnings
from postgres import driver
from postgres.dialect import libpq_parameters
from tests.postgres.sessions import Run
from tests.support.responses import invalid_input
from tests.support.services import create_tables, service, sql
from tests.support.serving import bearer

TASKS = "/api/alice/tasks"
TITLE = "日本 🦆 é"
OTHERS = ("LATIN1", "SQL_ASCII")


@contextmanager
def database_in(postgres: URL, encoding: str) -> Iterator[URL]:
    name = f"test_{secrets.token_hex(4)}"
    sql(
        postgres,
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
        " TEMPLATE template0",
    )
    try:
        yield postgres.set(database=name)
    finally:
        sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def title_and_encoding(run: Run, **parameters: Any) -> None:
    async def work() -> None:
        connection = await driver.connect(**parameters)
        rows = await connection.fetch(
            "SELECT %(title)s::text, current_setting('client_encoding')", {"title": TITLE}
        )
        assert rows == [(TITLE, "UTF8")]
        connection.close()

    run(work())


@pytest.mark.parametrize("encoding", OTHERS)
def test_text_is_utf_8_whatever_encoding_is_configured(
    run: Run, url: URL, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = libpq_parameters(url)
    sql(url, f"ALTER ROLE postgres IN DATABASE {url.database} SET client_encoding = {encoding}")
    sql(url, f"ALTER DATABASE {url.database} SET client_encoding = {encoding}")
    try:
        title_and_encoding(run, **parameters)
        monkeypatch.setattr(os, "environ", os.environ)
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
        title_and_encoding(run, **parameters)
        title_and_encoding(run, **parameters, client_encoding=encoding)
    finally:
        sql(url, f"ALTER ROLE postgres IN DATABASE {url.database} RESET client_encoding")
        sql(url, f"ALTER DATABASE {url.database} RESET client_encoding")


def test_text_with_too_many_bytes_for_sql_ascii_is_refused(postgres: URL) -> None:
    with database_in(postgres, "SQL_ASCII") as url:
        create_tables(url)
        with service(url) as client:
            task = client.post(TASKS, json={"title": "日" * 66})
            assert (task.status_code, task.json()["title"]) == (201, "日" * 66)
            for body in {"title": "日" * 67}, {"title": "é", "description": "é" * 501}:
                for response in (
                    client.post(TASKS, json=body),
                    client.put(task.headers["location"], json=body),
                ):
                    assert (response.status_code, response.json()) == (
                        400,
                        invalid_input(("request", TOO_LONG.sentence)),
                    )


def test_text_that_the_databases_encoding_cannot_store_is_refused(postgres: URL) -> None:
    with database_in(postgres, "LATIN1") as url:
        create_tables(url)
        with service(url) as client:
            assert client.post(TASKS, json={"title": "café"}).status_code == 201
            response = client.post(TASKS, json={"title": TITLE})
            assert (response.status_code, response.json()) == (
                400,
                invalid_input(("request", NO_SUCH_CHARACTER.sentence)),
            )
            assert client.get("/api/日本/tasks", headers=bearer("日本")).status_code == 400
            assert [task["title"] for task in client.get(TASKS).json()["tasks"]] == ["café"]


@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8"])
def test_a_database_in_another_encoding_is_warned_about_once(
    run: Run, postgres: URL, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        database = Database(url, 2, on_connect=ConnectionWarnings("development"))
        await database.warm_up()
        with suppress(DatabaseNotMigrated):  # it has no tables
            await database.condition.check()
        await database.close()

    with database_in(postgres, encoding) as url:
        run(work())
    expected = [] if encoding == "UTF8" else [("WARNING", ENCODING % encoding)]
    warnings = [(record.levelname, record.message) for record in caplog.records]
    assert [each for each in warnings if "not migrated" not in each[1]] == expected
