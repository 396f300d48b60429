"""A table `tasks` that another build created is recognised, and adopted without data loss."""

import asyncio
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from config import ROOT, get_settings
from development import migrate
from tests.support.postgres_servers import postgres_versions, temporary_postgres
from tests.support.processes import environment
from tests.support.psql import run_script, run_script_without_options
from tests.support.schema import DESCRIPTION
from tests.support.services import database_of_its_own, service, sql
from tests.support.serving import make_settings

# One zone with daylight saving time, one whose offset is not a whole hour, and one with neither.
ZONES = ("America/New_York", "Asia/Kolkata", "UTC")
SENTENCE = "The database has a table tasks that these migrations did not make"

# The tables that SQLModel.metadata.create_all creates for two models: BARE is the minimal one, and
# RICH differs from ours in every way that the script accepts.
BARE = """
CREATE TABLE tasks (
    id SERIAL NOT NULL, user_id VARCHAR NOT NULL, title VARCHAR(200) NOT NULL, description VARCHAR,
    completed BOOLEAN NOT NULL, created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX ix_tasks_user_id ON tasks (user_id);
"""
RICH = """
CREATE TABLE "user" (id VARCHAR NOT NULL PRIMARY KEY);
INSERT INTO "user" SELECT 'user_' || n FROM generate_series(0, 9) AS n;
CREATE TABLE alembic_version (version_num VARCHAR(32) CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a1b2c3d4e5f6');
CREATE TABLE tasks (
    id SERIAL PRIMARY KEY, user_id VARCHAR(64) NOT NULL REFERENCES "user" (id),
    title VARCHAR(255) NOT NULL CHECK (title <> ''), description TEXT,
    completed BOOLEAN DEFAULT true, created_at TIMESTAMP, updated_at TIMESTAMPTZ,
    priority VARCHAR DEFAULT 'low' NOT NULL
);
CREATE INDEX tasks_by_created ON tasks (created_at);
CREATE UNIQUE INDEX "ix Tasks" ON tasks (user_id, id);
"""
FILL = """
INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
SELECT 'user_' || n %% 10, md5(n::text), CASE WHEN n %% 3 = 0 THEN repeat('é', n %% 1000) END,
    n %% 5 = 0, timestamp '2025-01-01' + n * interval '7 minutes',
    timestamp '2025-10-25' + n * interval '3 seconds'
FROM generate_series(1, %s) AS n
"""
# Unlike the script, this query reads a time without a zone as UTC.
ROWS = """
SELECT id, user_id, title, description, completed,
    extract(epoch FROM created_at)::text, extract(epoch FROM updated_at)::text
FROM tasks ORDER BY id
"""
VERSIONS = sorted(postgres_versions(), key=int)


@pytest.fixture(scope="module", params=dict.fromkeys((VERSIONS[0], VERSIONS[-1])))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    programs = postgres_versions()[request.param]
    with temporary_postgres(programs, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def foreign(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres, tables=False) as url:
        sql(url, BARE)
        yield url


def alembic(url: URL, name: str, *arguments: str) -> None:
    """Run one of Alembic's commands, and let its exceptions through."""
    dsn = url.render_as_string(hide_password=False)
    with patch.dict(os.environ, {"MIGRATION_DATABASE_URL": dsn}):
        get_settings.cache_clear()
        output = io.StringIO()
        config = Config(toml_file=ROOT / "pyproject.toml", stdout=output)
        getattr(command, name)(config, *arguments)
    get_settings.cache_clear()


def adopt(url: URL, *variables: str) -> str:
    adopted = run_script(url, "adopt.sql", *variables)
    assert adopted.returncode == 0, adopted.stderr
    assert "not found" not in adopted.stderr  # psql runs text between backquotes as a shell command
    return adopted.stdout


def assert_is_migrated(url: URL) -> None:
    """Assert that Alembic has nothing left to do and that the tables match the models."""
    [(left_at,)] = sql(url, "SELECT version_num FROM alembic_version")
    assert left_at == "0002"
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    with database_of_its_own(url.set(database="postgres")) as modelled:
        assert sql(url, DESCRIPTION) == sql(modelled, DESCRIPTION) != []


def test_upgrade_head_names_the_foreign_table_and_the_script_to_run(foreign: URL) -> None:
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    before = sql(foreign, tables)
    with pytest.raises(SystemExit) as refused:
        alembic(foreign, "upgrade", "head")
    for part in (
        SENTENCE,
        "id is integer",
        "created_at is timestamp without",
        "migrations/adopt.sql",
    ):
        assert part in str(refused.value)
    assert sql(foreign, tables) == before


@pytest.mark.parametrize(
    ("script", "said"),
    [("adopt.sql", "Run this script with --single-transaction"), ("partition.sql", "LOCK TABLE")],
)
def test_a_script_without_its_options_stops_before_it_changes_anything(
    foreign: URL, script: str, said: str
) -> None:
    tables = "SELECT oid, relname FROM pg_class WHERE relkind IN ('r', 'S') ORDER BY oid"
    before = sql(foreign, tables)
    done = run_script_without_options(foreign, script)
    assert (done.returncode, said in done.stderr) == (3, True)
    assert sql(foreign, tables) == before


def test_a_table_without_time_zones_is_foreign_whatever_its_revision_is(foreign: URL) -> None:
    sql(foreign, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    sql(foreign, "INSERT INTO alembic_version VALUES ('0001')")
    with pytest.raises(SystemExit, match=SENTENCE):
        alembic(foreign, "upgrade", "head")
    adopt(foreign)
    assert_is_migrated(foreign)


@pytest.mark.slow
def test_development_logs_the_same_sentence_at_startup(foreign: URL) -> None:
    reason = asyncio.run(migrate._attempt(foreign, make_settings(foreign)))
    assert reason is not None
    assert SENTENCE in reason
    assert "migrations/adopt.sql" in reason


@pytest.mark.slow
@pytest.mark.parametrize("made_by", [BARE, RICH], ids=["bare", "rich"])
def test_the_service_works_on_an_adopted_table(made_by: str, postgres: URL) -> None:
    with database_of_its_own(postgres, tables=False) as url:
        sql(url, made_by)
        sql(url, FILL, 20)
        sql(url, "DELETE FROM tasks WHERE id > 15")
        before, whole = sql(url, ROWS), sql(url, "SELECT * FROM tasks ORDER BY id")
        assert "15 tasks are adopted" in adopt(url)
        assert sql(url, ROWS) == before
        assert sql(url, "SELECT * FROM before_adoption.tasks ORDER BY id") == whole
        sql(url, 'DROP TABLE IF EXISTS "user" CASCADE')  # the models do not have it
        assert_is_migrated(url)
        assert "nothing was changed" in adopt(url)
        with service(url, "user_1") as client:
            for key in ("a", None, "b"):
                headers = {"Idempotency-Key": key} if key else {}
                path = "/api/user_1/tasks"
                made = client.post(path, json={"title": "New"}, headers=headers)
                assert made.status_code == 201, made.text
            assert made.json()["id"] == 23  # the ids of deleted tasks are not used again
            listed = client.get(path, params={"order": "asc"}).json()["tasks"]
        assert [task["id"] for task in listed] == [1, 11, 21, 22, 23]
        assert listed[0]["created_at"] == "2025-01-01T00:07:00.000000Z"


FAULTS = {
    "a long title": ("title = repeat('é', 201)", "title has more than 200 characters"),
    "a blank title": ("title = '  '", "title is blank"),
    "a long description": ("description = repeat('é', 1001)", "description has more than 1000"),
    "a blank user": ("user_id = ' '", "user_id is blank"),
    "a long user": ("user_id = repeat('é', 256)", "user_id has more than 255 characters"),
    "no user": ("user_id = NULL", "user_id is NULL"),
    "no title": ("title = NULL", "title is NULL"),
    "no status": ("completed = NULL", "completed is NULL"),
    "no time": ("created_at = NULL", "created_at is NULL"),
    "no last time": ("updated_at = NULL", "updated_at is NULL"),
    "an endless time": ("updated_at = 'infinity'", "updated_at is not between the years"),
}


def refusal(url: URL) -> str:
    """Return why the script refuses the table, and check that it changed nothing."""
    question = "SELECT oid, relfilenode FROM pg_class WHERE relname = 'tasks'"
    before = sql(url, question)
    ended = run_script(url, "adopt.sql")
    assert ended.returncode != 0
    assert sql(url, question) == before
    assert sql(url, "SELECT to_regclass('before_adoption.tasks')") == [(None,)]
    return ended.stderr


@pytest.mark.slow
def test_the_script_refuses_invalid_tasks_and_lists_their_ids(foreign: URL) -> None:
    sql(foreign, "ALTER TABLE tasks ALTER title TYPE text")
    for name in ("user_id", "title", "completed", "created_at", "updated_at"):
        sql(foreign, f"ALTER TABLE tasks ALTER {name} DROP NOT NULL")
    for change, sentence in FAULTS.values():
        sql(foreign, "TRUNCATE tasks")
        sql(foreign, FILL, 30)
        [(first, twelfth)] = sql(foreign, "SELECT min(id), min(id) + 11 FROM tasks")
        sql(foreign, f"UPDATE tasks SET {change} WHERE id = %s", first)
        said = refusal(foreign)
        assert sentence in said
        assert f"in 1 tasks (ids {first})" in said
        sql(foreign, f"UPDATE tasks SET {change} WHERE id <= %s", twelfth)
        assert re.search(rf"in 12 tasks \(ids {first}, .*, {first + 9}, …\)", refusal(foreign))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sentence"),
    {
        "ALTER TABLE tasks DROP COLUMN description": "it lacks description",
        "ALTER TABLE tasks DROP id, ADD id uuid": "id is uuid",
        "ALTER TABLE tasks ALTER completed TYPE integer USING 0": "completed is integer",
        "ALTER TABLE tasks ALTER created_at TYPE text": "created_at is text",
        "CREATE TABLE steps (task_id int REFERENCES tasks (id))": "refer to it (steps)",
        "CREATE VIEW mine AS SELECT title FROM tasks": "refer to it (mine)",
        "DROP TABLE tasks": "There is no table tasks to adopt",
    }.items(),
)
def test_the_script_refuses_a_table_with_other_columns_or_dependents(
    change: str, sentence: str, foreign: URL
) -> None:
    sql(foreign, change)
    assert sentence in refusal(foreign)


@pytest.mark.slow
def test_roles_keep_their_rights_on_the_adopted_table(foreign: URL) -> None:
    sql(foreign, "DROP ROLE IF EXISTS adopted_service; DROP ROLE IF EXISTS adopted_owner")
    sql(foreign, "CREATE ROLE adopted_service; CREATE ROLE adopted_owner")
    try:
        sql(foreign, "ALTER TABLE tasks OWNER TO adopted_owner")
        sql(foreign, "GRANT SELECT, INSERT ON tasks TO adopted_service")
        adopt(foreign)
        as_service = "SET ROLE adopted_service;"
        sql(foreign, f"{as_service} INSERT INTO tasks (user_id, title) VALUES ('alice', 'Tea')")
        sql(foreign, f"{as_service} SELECT nextval(pg_get_serial_sequence('tasks', 'id'))")
        sql(foreign, f"{as_service} SELECT 1 FROM idempotency_keys, alembic_version")
        sql(foreign, "SET ROLE adopted_owner; DROP TABLE tasks, idempotency_keys, alembic_version")
    finally:
        sql(foreign, "DROP OWNED BY adopted_service, adopted_owner CASCADE")
        sql(foreign, "DROP ROLE adopted_service, adopted_owner")


@pytest.mark.slow
def test_the_adopted_tables_have_the_schema_and_the_row_security_of_the_old_one(
    foreign: URL,
) -> None:
    sql(foreign, "CREATE SCHEMA postgres")  # the first one of the search path
    sql(foreign, "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY")
    adopt(foreign)
    alembic(foreign, "upgrade", "head")
    made = """
        SELECT relname::text, relrowsecurity FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1
    """
    assert sql(foreign, made) == [
        ("alembic_version", False),
        ("idempotency_keys", True),
        ("tasks", True),
    ]
    assert sql(
        foreign, "SELECT to_regprocedure('public.tasks_next_update(timestamptz)')::text"
    ) == [("tasks_next_update(timestamp with time zone)",)]


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_100_000_tasks_keep_their_timestamps_in_any_time_zone(zone: str, server: URL) -> None:
    with database_of_its_own(server, tables=False) as url:
        sql(url, f"ALTER DATABASE {url.database} SET TimeZone = '{zone}'")
        sql(url, BARE)
        sql(url, FILL, 100_000)
        before = sql(url, ROWS)
        assert "100000 tasks are adopted" in adopt(url)
        assert sql(url, ROWS) == before
        assert_is_migrated(url)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_local_times_are_adopted_with_the_zone_that_was_given(zone: str, foreign: URL) -> None:
    sql(foreign, f"ALTER DATABASE {foreign.database} SET TimeZone = '{zone}'")
    sql(
        foreign,
        "INSERT INTO tasks (user_id, title, completed, created_at, updated_at)"
        " VALUES ('alice', 'Tea', false, '2026-07-01 12:00', '2026-01-01 12:00')",
    )
    adopt(foreign, "zone=America/New_York")
    [times] = sql(foreign, "SELECT created_at, updated_at FROM tasks")
    assert [time.timestamp() for time in times] == [1782921600, 1767286800]


@pytest.mark.slow
def test_an_adopted_table_can_be_partitioned_and_reuses_no_id(server: URL) -> None:
    with database_of_its_own(server, tables=False) as url:
        sql(url, BARE)
        sql(url, FILL, 100)
        adopt(url)
        # Other adoption scripts may rename the sequence, and leave it below the highest id.
        sql(url, "ALTER SEQUENCE tasks_id_seq RENAME TO ids_of_tasks; CREATE SEQUENCE tasks_id_seq")
        sql(url, "SELECT setval('ids_of_tasks', 50)")
        refused = run_script(url, "partition.sql")
        assert "is at 50, below the highest id 100" in refused.stderr
        sql(url, "SELECT setval('ids_of_tasks', 100)")
        done = run_script(url, "partition.sql")
        assert done.returncode == 0, done.stderr
        assert sql(url, "INSERT INTO tasks (user_id, title) VALUES ('a', 'b') RETURNING id") == [
            (101,)
        ]


@pytest.mark.slow
def test_the_table_of_the_conventional_benchmark_peer_is_adopted(postgres: URL) -> None:
    """The peer creates its table with SQLModel.metadata.create_all."""
    with database_of_its_own(postgres, tables=False) as url:
        make = (
            "from sqlmodel import SQLModel, create_engine; import conventional.models;"
            f"SQLModel.metadata.create_all(create_engine({psycopg2_url(url)!r}))"
        )
        peers = {"PYTHONPATH": str(ROOT / "benchmarks/peers")}
        subprocess.run([sys.executable, "-c", make], env=environment() | peers, check=True)
        with pytest.raises(SystemExit, match=SENTENCE):
            alembic(url, "upgrade", "head")
        sql(url, FILL, 20)
        before = sql(url, ROWS)
        adopt(url)
        assert sql(url, ROWS) == before
        assert_is_migrated(url)


def psycopg2_url(url: URL) -> str:
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
