"""A database that is up and migrated, but that the service's role can't use fully."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy.engine import URL
from sqlmodel import select

import condition
from database import Database
from errors import DatabaseUnusable
from migrations.state import REVISIONS
from models import Task
from postgres.trouble import PassingTrouble
from schemas import TaskUpdate
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    database_of_its_own,
    eventually,
    recorded_messages,
    service,
    sql,
)

TASKS = "/api/alice/tasks"
TABLES = "tasks, idempotency_keys"
RIGHTS = f"GRANT ALL ON {TABLES} TO {{role}}; GRANT USAGE ON SEQUENCE tasks_id_seq TO {{role}}"
END = "The database's set-up is in order"
SOME = {"read", "change", "toggle", "delete"}
ALL = {"create", "create once", "list", *SOME}


class Fault(NamedTuple):
    """A fault in the set-up, and the class and the remedy that the log names.

    `{role}` is the service's role. `remedy` is None if the log offers no statement that fixes it.
    """

    act: str
    kind: str
    remedy: str | None
    failing: set[str]
    mend: str | None = None


FAULTS = {
    "no right on the tables": Fault(
        f"REVOKE ALL ON {TABLES} FROM {{role}}",
        "no rights",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO {role}; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO {role}",
        ALL,
    ),
    "no right to change": Fault(
        "REVOKE INSERT, UPDATE, DELETE ON tasks FROM {role}",
        "no rights",
        "GRANT INSERT, UPDATE, DELETE ON tasks TO {role}",
        ALL - {"list", "read"},
    ),
    "no right on the sequence": Fault(
        "REVOKE ALL ON SEQUENCE tasks_id_seq FROM {role}",
        "no rights",
        "GRANT USAGE ON SEQUENCE tasks_id_seq TO {role}",
        {"create once"},
    ),
    "no right on the function": Fault(
        "REVOKE EXECUTE ON FUNCTION tasks_next_update FROM PUBLIC",
        "no rights",
        "GRANT EXECUTE ON FUNCTION tasks_next_update(timestamp with time zone) TO {role}",
        {"change", "toggle"},
    ),
    "a schema without USAGE": Fault(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "no rights on the schema",
        "GRANT USAGE ON SCHEMA public TO {role}",
        ALL,
    ),
    "a schema that is not in the search path": Fault(
        "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO {role};"
        " ALTER TABLE tasks SET SCHEMA other; ALTER TABLE idempotency_keys SET SCHEMA other;"
        " ALTER FUNCTION tasks_next_update SET SCHEMA other",
        "search path",
        "ALTER ROLE {role} SET search_path = other",
        ALL,
    ),
    "row security without a policy": Fault(
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
        "row security",
        "CREATE POLICY task_api ON tasks TO {role} USING (true)",
        {"create", "create once"},
    ),
    "a view": Fault(
        "ALTER TABLE tasks RENAME TO moved; CREATE VIEW tasks AS SELECT DISTINCT * FROM moved;"
        " GRANT ALL ON tasks TO {role}",
        "not a table",
        None,
        ALL - {"list", "read"},
        "DROP VIEW tasks; ALTER TABLE moved RENAME TO tasks",
    ),
    "transactions that are read-only by default": Fault(
        "ALTER ROLE {role} SET default_transaction_read_only = on",
        "read-only",
        None,
        ALL - {"list", "read"},
        "ALTER ROLE {role} RESET default_transaction_read_only",
    ),
}


@pytest.fixture(scope="module")
def role(postgres: URL) -> Iterator[str]:
    name = f"role_{secrets.token_hex(4)}"
    sql(postgres, f"CREATE ROLE {name} LOGIN")
    yield name
    sql(postgres, f"DROP ROLE {name}")


@pytest.fixture
def url(postgres: URL, role: str) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        sql(url, RIGHTS.format(role=role))
        yield url
        sql(url, f"DROP OWNED BY {role}; ALTER ROLE {role} RESET ALL")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "WATCH_INTERVAL", 0.1)


def operations(client: httpx.Client, task_id: int) -> dict[str, httpx.Response]:
    """Call every operation. `task_id` is another user's, or does not exist."""
    one, key = f"{TASKS}/{task_id}", {"Idempotency-Key": secrets.token_hex(4)}
    return {
        "list": client.get(TASKS),
        "read": client.get(one),
        "create": client.post(TASKS, json={"title": "Milk"}),
        "create once": client.post(TASKS, json={"title": "Milk"}, headers=key),
        "change": client.put(one, json={"title": "Oat milk"}),
        "toggle": client.patch(f"{one}/complete"),
        "delete": client.delete(one),
    }


def failed(client: httpx.Client) -> set[str]:
    """Return the operations that fail with a 503 for the database; check that the others work."""
    responses = operations(client, 9999999)
    unavailable = {name for name, each in responses.items() if each.status_code == 503}
    for name, response in responses.items():
        if name in unavailable:
            assert response.json() == DATABASE_UNAVAILABLE
            assert response.headers["retry-after"] == "1"
        else:
            assert response.status_code in (200, 201, 404), response.text
    return unavailable


def state(client: httpx.Client) -> tuple[int, str]:
    response = client.get("/health")
    return response.status_code, response.json()["database"]


def troubles(messages: list[str]) -> list[str]:
    return [message for message in messages if message.startswith("The database can't be used")]


@contextmanager
def serving(url: URL, role: str) -> Iterator[tuple[httpx.Client, list[str]]]:
    with (
        recorded_messages() as messages,
        service(url.set(username=role), db_pool_size=2) as client,
    ):
        yield client, messages
    assert not [message for message in messages if "INTERNAL_ERROR" in message]


def mend(url: URL, role: str, fault: Fault, said: str) -> None:
    """Run the statement that the log suggests, or the test's own."""
    remedy = fault.mend.format(role=role) if fault.mend else said.split("`")[1]
    sql(url, remedy)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_startup_log_names_the_fault_and_a_remedy_that_works(
    fault: Fault, url: URL, role: str
) -> None:
    sql(url, fault.act.format(role=role))
    with serving(url, role) as (client, messages):
        eventually(lambda: troubles(messages))
        for _ in range(2):
            assert failed(client) == fault.failing
            assert state(client) == (503, "disconnected")
        [said] = troubles(messages)
        assert said.startswith(f"The database can't be used ({fault.kind}): ")
        if fault.remedy:
            assert f"`{fault.remedy.format(role=role)}`" in said
        mend(url, role, fault, said)
        eventually(lambda: END in messages)
        assert state(client) == (200, "connected")
        assert failed(client) == set()
    assert (len(troubles(messages)), messages.count(END)) == (1, 1)


@pytest.mark.parametrize("name", ["no right to change", "a schema without USAGE"])
def test_a_request_detects_a_right_that_was_revoked_at_run_time(
    name: str, url: URL, role: str
) -> None:
    fault = FAULTS[name]
    with serving(url, role) as (client, messages):
        assert failed(client) == set()
        sql(url, fault.act.format(role=role))
        assert failed(client) == fault.failing
        [said] = troubles(messages)
        mend(url, role, fault, said)
        eventually(lambda: END in messages)
        assert failed(client) == set()
    assert len(troubles(messages)) == 1


def test_a_refusal_that_the_check_cannot_detect_is_logged_in_the_words_of_postgres(
    url: URL, role: str
) -> None:
    with serving(url, role) as (client, messages):
        sql(url, "CREATE POLICY readers ON tasks FOR SELECT USING (true)")
        sql(url, "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY")
        for _ in range(2):
            assert failed(client) == {"create", "create once"}
            assert state(client) == (200, "connected")
        [said] = troubles(messages)
        assert said.endswith(
            '(permission): new row violates row-level security policy for table "tasks"'
        )
        sql(url, "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY")
        assert failed(client) == set()


def test_trouble_ends_when_it_has_not_occurred_for_a_while() -> None:
    async def work() -> None:
        trouble = PassingTrouble("It has ended", 0.1)
        for _ in range(3):
            trouble.begin("disk full", "no space left")
        while trouble.kind:  # noqa: ASYNC110  (it sets no event)
            await asyncio.sleep(0.01)

    with recorded_messages() as messages:
        asyncio.run(work())
    assert messages == ["The database can't be used (disk full): no space left", "It has ended"]


def at_version(url: URL, version: str) -> None:
    sql(url, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    sql(url, "INSERT INTO alembic_version VALUES (%s)", version)


def test_the_remedy_includes_the_right_to_read_the_version(url: URL, role: str) -> None:
    at_version(url, REVISIONS[0])
    sql(url, f"REVOKE INSERT ON tasks FROM {role}")
    with serving(url, role) as (client, messages):
        assert state(client) == (503, "disconnected")
        [said] = troubles(messages)
        remedy = f"GRANT INSERT ON tasks TO {role}; GRANT SELECT ON alembic_version TO {role}"
        assert said.split("`")[1] == remedy
        sql(url, remedy)
        assert state(client) == (503, "not migrated")


def test_a_version_that_the_role_may_not_read_is_a_warning(url: URL, role: str) -> None:
    at_version(url, REVISIONS[-1])
    end, remedy = "The schema version can be checked", f"GRANT SELECT ON alembic_version TO {role}"
    said = (
        "The schema version can't be checked (no right to read it): "
        f"as the owner of the tables, run `{remedy}`"
    )
    with serving(url, role) as (client, messages):
        for _ in range(2):
            assert state(client) == (200, "connected")
        assert failed(client) == set()
        assert (messages.count(said), troubles(messages)) == (1, [])
        sql(url, f"REVOKE INSERT ON tasks FROM {role}")
        assert state(client) == (503, "disconnected")
        sql(url, f"GRANT INSERT ON tasks TO {role}")
        assert state(client) == (200, "connected")
        assert end not in messages
        sql(url, remedy)
        assert state(client) == (200, "connected")
    assert (messages.count(said), messages.count(end)) == (1, 1)


def test_column_privileges_are_enough(url: URL, role: str) -> None:
    sql(url, f"REVOKE ALL ON tasks FROM {role}")
    columns = ", ".join(column.name for column in Task.__table__.columns)  # type: ignore[attr-defined]
    sql(url, f"GRANT DELETE, SELECT ({columns}), INSERT ({columns}) ON tasks TO {role}")
    changed = ", ".join([*TaskUpdate.model_fields, "updated_at"])
    sql(url, f"GRANT UPDATE ({changed}) ON tasks TO {role}")
    with serving(url, role) as (client, messages):
        assert failed(client) == set()
        assert state(client) == (200, "connected")
    assert troubles(messages) == []


def test_a_sqlalchemy_statement_gets_the_same_error(url: URL, role: str) -> None:
    async def work() -> None:
        database = Database(url.set(username=role), 1)
        async with database.session() as session:
            with pytest.raises(DatabaseUnusable):
                await session.exec(select(Task))
        await database.close()

    sql(url, f"REVOKE SELECT ON tasks FROM {role}")
    asyncio.run(work())
