"""A database whose schema does not match this release: responses, /health and the log."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import psycopg2
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL
from sqlmodel import select

import condition
from database import Database
from errors import DatabaseNotMigrated
from migrations.access import Obstacle
from migrations.state import REVISIONS, find_obstacle, judgement
from models import Task
from postgres.driver import Connection
from tests.support.migrations import MIGRATIONS, migrate
from tests.support.services import (
    database_of_its_own,
    eventually,
    recorded_log,
    recorded_messages,
    service,
    sql,
)

TASKS = "/api/alice/tasks"
KEYED = {"Idempotency-Key": "one"}
NOT_MIGRATED = "DATABASE_NOT_MIGRATED"
Seen = tuple[list[str], list[str], list[list[str]]]  # by one query: versions, missing, obstacles
REMEDY = "alembic upgrade head"
HEAD = REVISIONS[-1]
OLDER = "0002"  # without the function that change and toggle need
NEXT = f"{int(HEAD) + 1:04}"

# The migration of a later release.
MIGRATION = f'''
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {{}}


def downgrade() -> None: ...
'''
ADDS = (
    'op.add_column("tasks", sa.Column("mood", sa.Text(), server_default="good"));'
    ' op.alter_column("tasks", "title", type_=sa.Text())'
)
REMOVES = 'op.drop_column("tasks", "description")'


@pytest.fixture
def empty(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres, tables=False) as url:
        yield url


@pytest.fixture
def next_release(tmp_path: Path) -> Callable[[str], Path]:
    """A function that returns our migrations and one more, which runs the given code."""

    def scripts(does: str) -> Path:
        copy = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
        (copy / f"versions/{NEXT}_next.py").write_text(MIGRATION.format(does))
        return copy

    return scripts


def operations(client: httpx.Client) -> dict[str, httpx.Response]:
    """Call every operation."""
    none = f"{TASKS}/9999999"
    return {
        "create": client.post(TASKS, json={"title": "Milk"}),
        "create once": client.post(TASKS, json={"title": "Milk"}, headers=KEYED),
        "list": client.get(TASKS),
        "page": client.get(TASKS, params={"limit": 1, "sort": "title"}),
        "read": client.get(none),
        "change": client.put(none, json={"title": "Oat milk"}),
        "toggle": client.patch(f"{none}/complete"),
        "delete": client.delete(none),
    }


def failed(client: httpx.Client) -> set[str]:
    """Return the operations that fail because of the schema. No other failure is allowed."""
    responses = operations(client)
    for response in responses.values():
        assert response.status_code in (200, 201, 404, 503), response.text
        if response.status_code == 503:
            assert response.json()["code"] == NOT_MIGRATED
            assert int(response.headers["retry-after"]) >= 1
    return {name for name, response in responses.items() if response.status_code == 503}


def health(client: httpx.Client) -> tuple[int, str]:
    response = client.get("/health")
    body = response.json()
    if response.status_code == 503:
        assert body["status"] == "unhealthy"
        assert body["code"] == (NOT_MIGRATED if "not" in body["database"] else None)
        assert "retry-after" in response.headers
    return response.status_code, body["database"]


HEALTHY, UNHEALTHY = (200, "connected"), (503, "not migrated")


def test_an_empty_database_is_logged_once_and_served_once_it_is_migrated(
    empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "WATCH_INTERVAL", 0.1)
    with recorded_messages() as messages, service(empty) as client:
        eventually(lambda: any(REMEDY in message for message in messages))
        for _ in range(2):
            assert failed(client) == set(operations(client))
            assert health(client) == UNHEALTHY
        assert client.get("/health/live").status_code == 200
        migrate(empty)
        assert failed(client) == set()
        assert health(client) == HEALTHY
        eventually(lambda: "The database is migrated" in messages)
    assert [message for message in messages if REMEDY in message] == [
        "The database can't be used (not migrated): it has no idempotency_keys, tasks; "
        "run `alembic upgrade head`"
    ]
    assert messages.count("The database is migrated") == 1
    assert not [message for message in messages if "INTERNAL" in message]


def test_a_release_on_an_older_schema_serves_what_the_schema_supports(empty: URL) -> None:
    migrate(empty, OLDER)
    with recorded_messages() as messages, service(empty) as client:
        assert failed(client) == {"change", "toggle"}
        assert health(client) == UNHEALTHY
        migrate(empty)
        assert health(client) == HEALTHY
        assert failed(client) == set()
    [said] = [message for message in messages if REMEDY in message]
    assert f"it is at {OLDER} and this release needs {HEAD}" in said


def test_a_release_on_the_next_schema_is_healthy_and_serves(
    empty: URL, next_release: Callable[[str], Path]
) -> None:
    migrate(empty)
    with recorded_messages() as messages, service(empty, db_pool_size=2) as client:
        for _ in range(4):  # so that each statement is prepared on both connections
            assert failed(client) == set()
        migrate(empty, scripts=next_release(ADDS))
        for _ in range(4):
            assert failed(client) == set()
            assert health(client) == HEALTHY
    with service(empty) as client:  # a release that was rolled back starts too
        assert (failed(client), health(client)) == (set(), HEALTHY)
    assert messages == []


def test_a_release_is_unhealthy_if_the_next_one_removed_a_column(
    empty: URL, next_release: Callable[[str], Path]
) -> None:
    migrate(empty, scripts=next_release(REMOVES))
    with recorded_messages() as messages, service(empty) as client:
        assert health(client) == UNHEALTHY
        assert "list" in failed(client)
    [said] = [message for message in messages if REMEDY in message]
    assert f"a newer release migrated it to {NEXT}, and it has no tasks.description" in said


def test_requests_detect_a_column_lost_at_run_time_and_its_return(
    empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "WATCH_INTERVAL", 0.1)
    migrate(empty)
    with service(empty, db_pool_size=1) as client, recorded_messages() as messages:
        assert failed(client) == set()
        sql(empty, "ALTER TABLE tasks RENAME description TO hidden")
        assert "list" in failed(client)
        [said] = [message for message in messages if REMEDY in message]
        assert f"it is at {HEAD} but has no tasks.description" in said
        sql(empty, "ALTER TABLE tasks RENAME hidden TO description")
        assert failed(client) == set()
        eventually(lambda: "The database is migrated" in messages)


LOSSES = {
    "default of tasks.id": "ALTER TABLE tasks ALTER id DROP IDENTITY",
    "default of tasks.created_at": "ALTER TABLE tasks ALTER created_at DROP DEFAULT",
    "default of tasks.mood": "ALTER TABLE tasks ADD mood text NOT NULL DEFAULT '';"
    " ALTER TABLE tasks ALTER mood DROP DEFAULT",
    "function tasks_next_update(timestamptz)": "DROP FUNCTION tasks_next_update",
}


@pytest.mark.parametrize("lost", LOSSES)
def test_the_log_names_a_lost_default_or_function(lost: str, empty: URL) -> None:
    migrate(empty)
    with service(empty) as client, recorded_messages() as messages:
        task = client.post(TASKS, json={"title": "Milk"}).json()["id"]
        sql(empty, LOSSES[lost])
        created = client.post(TASKS, json={"title": "Milk"})
        toggled = client.patch(f"{TASKS}/{task}/complete")
        failed = toggled if lost.startswith("function") else created
        assert (failed.status_code, failed.json()["code"]) == (503, NOT_MIGRATED)
        assert {created.status_code, toggled.status_code} & {200, 201}
        assert client.get("/health").json()["database"] == "not migrated"
        assert len([message for message in messages if f"has no {lost}:" in message]) == 1


def test_a_new_column_needs_no_default_if_a_trigger_fills_it_in(empty: URL) -> None:
    migrate(empty)
    sql(empty, LOSSES["default of tasks.mood"])
    sql(
        empty,
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN NEW.mood := 'good'; RETURN NEW; END $$;"
        " CREATE TRIGGER fill BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fill()",
    )
    with service(empty) as client:
        assert (failed(client), health(client)) == (set(), HEALTHY)


def test_nothing_is_executed_on_a_table_whose_times_have_no_zone(
    empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "WATCH_INTERVAL", 0.1)
    migrate(empty)
    sql(empty, "ALTER TABLE tasks ALTER created_at TYPE timestamp, ALTER updated_at TYPE timestamp")
    with recorded_messages() as messages, service(empty) as client:
        eventually(lambda: any("another program" in message for message in messages))
        assert failed(client) == set(operations(client))
        assert health(client) == UNHEALTHY
        assert sql(empty, "SELECT count(*) FROM tasks") == [(0,)]
        assert len([message for message in messages if "how to adopt it" in message]) == 1
        sql(empty, "DROP TABLE tasks, idempotency_keys, alembic_version")
        sql(empty, "DROP FUNCTION tasks_next_update")
        migrate(empty)
        eventually(lambda: "The database is migrated" in messages)
        assert (failed(client), health(client)) == (set(), HEALTHY)


def test_a_failed_statement_is_not_judged_by_a_check_that_began_before(
    empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(connection: Connection) -> Obstacle | None:
        found = await find_obstacle(connection)
        await asyncio.sleep(0.3)
        return found

    async def work(database: Database) -> None:
        monkeypatch.setattr(condition, "find_obstacle", slowly)
        database.condition.watch()
        await asyncio.sleep(0.2)
        sql(empty, "ALTER TABLE tasks DROP COLUMN description")
        with pytest.raises(DatabaseNotMigrated):
            await database.session().fetch("SELECT description FROM tasks", {}, retry=True)

    migrate(empty)
    on(empty, work)


IN_ORDER: Seen = ([], [], [])
ABSENT: Seen = ([], ["idempotency_keys", "tasks"], [])
HIDDEN: Seen = ([], ABSENT[1], [["no rights on the schema", "GRANT"]])


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ([ABSENT, IN_ORDER], None),
        ([ABSENT, HIDDEN, HIDDEN], "no rights on the schema"),
        ([HIDDEN, ABSENT, HIDDEN, IN_ORDER], None),
        ([ABSENT, ABSENT], "not migrated"),
    ],
)
def test_an_obstacle_that_only_one_query_finds_does_not_count(
    seen: list[Seen], kind: str | None
) -> None:
    """A query during which a right is granted or taken sees a mixture of before and after."""
    rest = list(seen)

    class Changing:
        async def fetch(self, query: str) -> list[Seen]:
            return [rest.pop(0)]

    obstacle = asyncio.run(find_obstacle(cast(Connection, Changing())))
    assert (obstacle and obstacle.kind, rest) == (kind, [])


ADDED = {
    "constraint no_milk, table tasks": "CHECK (title <> 'Milk')",
    "constraint known, table tasks": 'FOREIGN KEY (user_id) REFERENCES "user"',
}


@pytest.mark.parametrize("named", ADDED)
def test_the_log_names_a_constraint_that_another_program_added(named: str, empty: URL) -> None:
    migrate(empty)
    sql(empty, 'CREATE TABLE "user" (id text PRIMARY KEY)')
    sql(empty, f"ALTER TABLE tasks ADD CONSTRAINT {named.split()[1][:-1]} {ADDED[named]}")
    with service(empty) as client, recorded_log() as log:
        assert client.post(TASKS, json={"title": "Milk"}).status_code == 500
    assert f", {named})" in log.getvalue()
    assert "Milk" not in log.getvalue()


def test_the_documented_repair_restores_a_lost_function(empty: URL) -> None:
    migrate(empty)
    sql(empty, LOSSES["function tasks_next_update(timestamptz)"])
    with service(empty) as client:
        assert client.get("/health").status_code == 503
        stamp = "UPDATE alembic_version SET version_num = %s"  # as `alembic stamp` does
        sql(empty, stamp, "0002")
        migrate(empty, "0003")
        sql(empty, stamp, HEAD)
        assert client.get("/health").status_code == 200


def test_a_missing_table_is_logged_without_its_defaults(empty: URL) -> None:
    with recorded_messages() as messages, service(empty) as client:
        assert client.get("/health").status_code == 503
        assert any("it has no idempotency_keys, tasks;" in message for message in messages)


def test_without_alembic_version_the_columns_decide(postgres: URL) -> None:
    with database_of_its_own(postgres) as url, service(url) as client:
        assert (failed(client), health(client)) == (set(), HEALTHY)
        sql(url, "ALTER TABLE tasks DROP COLUMN completed")
        assert health(client) == UNHEALTHY


def test_the_columns_decide_if_the_role_may_not_read_alembic_version(empty: URL) -> None:
    migrate(empty)
    sql(empty, "CREATE ROLE narrow LOGIN")
    sql(empty, "GRANT ALL ON tasks, idempotency_keys TO narrow")
    sql(empty, "GRANT USAGE ON SEQUENCE tasks_id_seq TO narrow")
    try:
        with service(empty.set(username="narrow")) as client:
            assert (failed(client), health(client)) == (set(), HEALTHY)
    finally:
        sql(empty, "DROP OWNED BY narrow")
        sql(empty, "DROP ROLE narrow")


def on(url: URL, work: Callable[[Database], Awaitable[None]]) -> None:
    async def scenario() -> None:
        database = Database(url, 1)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(scenario())


def test_a_sqlalchemy_statement_gets_the_same_error(empty: URL) -> None:
    async def work(database: Database) -> None:
        async with database.session() as session:
            with pytest.raises(DatabaseNotMigrated):
                await session.exec(select(Task))

    on(empty, work)


@pytest.mark.parametrize("statement", ["SELECT nothing", "SELECT * FROM no_table", "no SQL"])
def test_an_invalid_statement_on_the_right_schema_is_a_bug(postgres: URL, statement: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(psycopg2.ProgrammingError):
            await database.session().fetch(statement, {}, retry=True)

    with database_of_its_own(postgres) as url:
        on(url, work)


def test_the_service_knows_the_revisions_that_alembic_knows() -> None:
    newest_first = [script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()]
    assert newest_first[::-1] == REVISIONS


@pytest.mark.parametrize(
    ("versions", "missing", "said"),
    [
        ([HEAD], [], None),
        ([NEXT], [], None),
        ([], [], None),
        (["of another program"], [], None),
        ([REVISIONS[0]], [], f"it is at {REVISIONS[0]} and this release needs {HEAD}"),
        ([], ["tasks"], "it has no tasks"),
        ([HEAD], ["tasks"], f"it is at {HEAD} but has no tasks"),
        ([NEXT], ["tasks.title"], f"a newer release migrated it to {NEXT}"),
        (["a1b2c3d4e5f6"], ["tasks.title"], "it has no tasks.title; run"),
        ([REVISIONS[0]], ["time zone in tasks.created_at"], "another program made the table tasks"),
        ([HEAD], ["time zone in idempotency_keys.created_at"], f"it is at {HEAD} but has no time"),
    ],
)
def test_the_message_names_the_fault_and_the_remedy(
    versions: list[str], missing: list[str], said: str | None
) -> None:
    found = judgement(versions, missing)
    assert (found is None) == (said is None)
    if found is not None:
        assert found.startswith(str(said))
        assert f"`{REMEDY}`" in found
