"""Servers that refuse statements because of their state: responses, the log, and recovery."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from psycopg2.errors import DiskFull
from sqlalchemy.engine import URL

import condition
from development import database as development
from tests.support.postgres_servers import give, postgres_versions, temporary_postgres
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    create_tables,
    eventually,
    recorded_messages,
    service,
    sql,
)

pytestmark = pytest.mark.slow
TASKS = "/api/alice/tasks"
PROGRAMS = max(postgres_versions().items(), key=lambda each: int(each[0]))[1]
FILL = """
INSERT INTO tasks (user_id, title, description)
SELECT 'bob', 'Tea', repeat('x', 1000) FROM generate_series(1, 10)
"""
Control = Callable[..., None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[URL, Control, Path]]:
    """A server with tables, a function that runs pg_ctl on it, and its data folder."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    data = tmp_path / "data"

    def control(*arguments: str) -> None:
        words = [str(PROGRAMS / "pg_ctl"), "-D", str(data), "-s", *arguments]
        command = [*development._setpriv_prefix(), *words]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    with temporary_postgres(PROGRAMS, tmp_path) as url:
        create_tables(url)
        yield url, control, data


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "WATCH_INTERVAL", 0.1)


def create(client: httpx.Client) -> int:
    response = client.post(TASKS, json={"title": "Milk" * 50, "description": "x" * 1000})
    assert response.status_code == 201 or response.json() == DATABASE_UNAVAILABLE
    return response.status_code


def causes(messages: list[str]) -> list[str]:
    return [message for message in messages if message.startswith("The database can't be used")]


def test_a_hot_standby_serves_reads_until_it_is_promoted(
    server: tuple[URL, Control, Path],
) -> None:
    url, control, data = server
    give(data / "standby.signal", "")
    control("restart", "-w", "-m", "fast")
    with recorded_messages() as messages, service(url) as client:
        eventually(lambda: causes(messages))
        assert create(client) == 503
        assert client.get(TASKS).status_code == 200
        assert client.get("/health").json()["database"] == "disconnected"
        [said] = causes(messages)
        assert "(read-only): the server is a standby" in said
        control("promote", "-w")
        eventually(lambda: create(client) == 201)
        eventually(lambda: client.get("/health").status_code == 200)
    assert messages.count("The database's set-up is in order") == 1


def test_the_service_waits_for_a_server_in_recovery(server: tuple[URL, Control, Path]) -> None:
    url, control, data = server
    give(data / "standby.signal", "")
    sql(url, "ALTER SYSTEM SET hot_standby = off")
    control("restart", "-W", "-m", "fast")
    with recorded_messages() as messages, service(url) as client:
        eventually(lambda: any("starting or stopping" in cause for cause in causes(messages)))
        assert create(client) == 503
        assert client.get("/health").json()["database"] == "disconnected"
        control("promote", "-W")
        eventually(lambda: create(client) == 201)
    assert "The database accepts connections again" in messages


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_logged_once_and_reads_are_served(
    server: tuple[URL, Control, Path], tmp_path: Path
) -> None:
    url, _, _ = server
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        owner = development._owner()
        assert owner is not None
        os.chown(disk, owner.pw_uid, owner.pw_gid)
        sql(url, f"CREATE TABLESPACE small LOCATION '{disk}'")
        sql(url, "ALTER TABLE tasks SET TABLESPACE small")
        with suppress(DiskFull):
            while True:
                sql(url, FILL)
        with recorded_messages() as messages, service(url) as client:
            eventually(lambda: create(client) == 503)
            assert create(client) == 503
            assert client.get(TASKS, params={"limit": 1}).status_code == 200
            [said] = causes(messages)
            assert said.startswith("The database can't be used (disk full): could not extend file")
            sql(url, "ALTER TABLE tasks SET TABLESPACE pg_default")
            assert create(client) == 201
    finally:
        sql(url, "ALTER TABLE tasks SET TABLESPACE pg_default")
        sql(url, "DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", disk], check=True)
