"""A service can run on a restored backup that was made with the commands of docs/operations.md."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import ROOT
from tests.parts.commands import commands_of
from tests.parts.neon import USER, Neon
from tests.support.processes import run, started
from tests.support.services import NO_TLS, sql
from tests.support.serving import SECRET, bearer

pytestmark = pytest.mark.parts

PAGE = "docs/operations.md"
TASKS = "/api/alice/tasks"
KEY = {"Idempotency-Key": "the-first"}


@contextmanager
def served(url: str, folder: Path) -> Iterator[httpx.Client]:
    with started(folder, environment="production", database_url=url) as service:
        service.starts()
        base = f"http://127.0.0.1:{service.port}"
        with httpx.Client(base_url=base, headers=bearer("alice"), verify=NO_TLS) as client:
            yield client


def whole(client: httpx.Client) -> Any:
    """Return all tasks from the API, with every field and time."""
    return client.get(TASKS).json()


@pytest.fixture
def urls(neon: Neon) -> tuple[str, str]:
    """A migrated database, and an empty one."""
    sql(neon.superuser, "DROP TABLE IF EXISTS tasks, idempotency_keys, alembic_version")
    sql(neon.superuser, "DROP DATABASE IF EXISTS restored")
    sql(neon.superuser, f"CREATE DATABASE restored OWNER {USER}")
    server = neon.direct.rpartition("/")[0]
    urls = f"{neon.direct}?sslmode=require", f"{server}/restored?sslmode=require"
    command = ("-m", "alembic", "upgrade", "head")
    settings = {"environment": "production", "database_url": urls[0], "better_auth_secret": SECRET}
    assert run(*command, **settings).returncode == 0
    return urls


def test_a_restored_dump_has_all_tasks_and_keys_and_gives_out_new_ids(
    urls: tuple[str, str], tmp_path: Path
) -> None:
    url, restored = urls
    [block] = [
        each for each in commands_of(PAGE, (ROOT / PAGE).read_text()) if "pg_dump" in each.text
    ]
    variables = {"MIGRATION_DATABASE_URL": url, "RESTORED_DATABASE_URL": restored}
    with served(url, tmp_path / "old") as client:
        first = client.post(TASKS, json={"title": "Buy milk 🥛"}, headers=KEY).json()
        second = client.post(TASKS, json={"title": "Call", "description": "a\nb"}).json()
        client.patch(f"{TASKS}/{second['id']}/complete", json={"completed": True})
        subprocess.run(
            ["sh", "-eu", "-c", block.text.replace("tasks.dump", str(tmp_path / "tasks.dump"))],
            cwd=ROOT,
            env={**os.environ, "BETTER_AUTH_SECRET": SECRET, **variables},
            check=True,
        )
        dumped = whole(client)
        assert client.delete(f"{TASKS}/{first['id']}").status_code == 204
    with served(restored, tmp_path / "new") as client:
        assert whole(client) == dumped
        replayed = client.post(TASKS, json={"title": "Buy milk 🥛"}, headers=KEY)
        assert replayed.headers["Idempotency-Replayed"] == "true"
        assert client.post(TASKS, json={"title": "Later"}).json()["id"] > second["id"]
