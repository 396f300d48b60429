"""Transactions of ordinary SQLAlchemy and SQLModel sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg2.errors import DeadlockDetected, SerializationFailure
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import registry
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Field, Relationship, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from database import Database
from models import Task
from postgres import driver
from tests.postgres.sessions import Run, assert_whole, fetch, kill
from tests.support.processes import until
from tests.support.services import sql

# SQLModel recommends `exec`, whose types have no place for plain SQL.
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*session.exec:DeprecationWarning")

COUNT = "SELECT count(*) FROM tasks"
IDLE_IN_TRANSACTION = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%%'"


@asynccontextmanager
async def sessions(url: URL) -> AsyncIterator[tuple[Database, AsyncSession]]:
    """Yield a session, and check afterwards that its connection returned outside a transaction."""
    sql(url, "DELETE FROM tasks")
    database = Database(url, 4)
    try:
        async with AsyncSession(database.engine, expire_on_commit=False) as session:
            yield database, session
        assert database.pool.in_use == 0
        # The server notices a closed connection a little later.
        await asyncio.to_thread(until, lambda: in_transaction(url) == 0, "every transaction to end")
        await assert_whole(database.session(), 4)
    finally:
        await database.close()


def in_transaction(url: URL) -> int:
    return int(sql(url, IDLE_IN_TRANSACTION)[0][0])


def task(title: str) -> Task:
    now = datetime.now(UTC)
    return Task(user_id="carol", title=title, created_at=now, updated_at=now)


def titles(url: URL) -> list[str]:
    return [title for (title,) in sql(url, "SELECT title FROM tasks ORDER BY title")]


def test_a_rollback_undoes_every_statement(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            for title in "AB":
                session.add(task(title))
                await session.flush()
            assert len((await session.exec(select(Task))).all()) == 2
            assert titles(url) == []
            await session.rollback()
            assert (await session.exec(select(Task))).all() == []
            session.add(task("C"))
            await session.commit()
            assert titles(url) == ["C"]

    run(work())


def test_an_exception_or_an_end_without_a_commit_undoes_everything(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (database, session):
            with suppress(KeyError):
                async with session.begin():
                    session.add(task("A"))
                    await session.flush()
                    raise KeyError
            session.add(task("B"))
            await session.flush()
            session.add(task(""))
            with pytest.raises(DBAPIError):
                await session.flush()
            await session.rollback()
            async with AsyncSession(database.engine) as other:
                other.add(task("C"))
                await other.flush()
            async with session.begin():
                session.add(task("D"))
            assert titles(url) == ["D"]

    run(work())


def test_engine_begin_savepoints_and_autocommit(run: Run, url: URL) -> None:
    insert = text("INSERT INTO tasks (user_id, title) VALUES ('carol', :title)")

    async def work() -> None:
        async with sessions(url) as (database, _):
            engine: AsyncEngine = database.engine
            async with engine.begin() as connection:
                await connection.execute(insert, {"title": "A"})
                with suppress(KeyError):
                    async with connection.begin_nested():
                        await connection.execute(insert, {"title": "B"})
                        raise KeyError
            with suppress(KeyError):
                async with engine.begin() as connection:
                    await connection.execute(insert, [{"title": "C"}, {"title": "D"}])
                    raise KeyError
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(insert, {"title": "E"})
                await connection.execute(text("VACUUM tasks"))
                await connection.rollback()
            assert titles(url) == ["A", "E"]
            level = text("SHOW transaction_isolation")
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="SERIALIZABLE")
                assert (await connection.execute(level)).scalar_one() == "serializable"
            async with engine.connect() as connection:
                assert (await connection.execute(level)).scalar_one() == "read committed"
                await connection.rollback()
                with pytest.raises(NotImplementedError, match="SET TRANSACTION READ ONLY"):
                    await connection.execution_options(postgresql_readonly=True)

    run(work())


def test_several_objects_change_in_one_transaction(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            both = [task("A"), task("B")]
            session.add_all(both)
            await session.commit()
            for each in both:
                await session.refresh(each)
                each.completed = True
            await session.commit()
            assert sql(url, f"{COUNT} WHERE completed") == [(2,)]
            found = await session.get(Task, both[0].id)
            assert found is both[0]
            for each in both:
                await session.delete(each)
            await session.commit()
            assert titles(url) == []

    run(work())


def test_a_commit_notices_that_one_of_several_objects_was_deleted(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            three = [task(title) for title in "ABC"]
            session.add_all(three)
            await session.commit()
            sql(url, "DELETE FROM tasks WHERE title = 'B'")
            for each in three:
                each.completed = True
            with pytest.raises(StaleDataError, match="3 row"):
                await session.commit()
            await session.rollback()
            assert sql(url, f"{COUNT} WHERE completed") == [(0,)]

    run(work())


def test_a_statement_with_several_sets_of_parameters_counts_all_rows(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            session.add_all([task(title) for title in "AAB"])
            await session.flush()
            rename = text("UPDATE tasks SET title = :new WHERE title = :old")
            sets = [{"old": "A", "new": "C"}, {"old": "B", "new": "D"}, {"old": "E", "new": "F"}]
            assert (await session.execute(rename, sets)).rowcount == 3  # type: ignore[attr-defined]
            assert (await session.execute(rename, sets[:1])).rowcount == 0  # type: ignore[attr-defined]

    run(work())


class Base(SQLModel, registry=registry()):
    """Keeps these tables out of the service's own metadata, which it compares with the database."""


class Team(Base, table=True):
    __table_args__ = {"schema": "pg_temp"}
    id: int | None = Field(default=None, primary_key=True)
    heroes: list["Hero"] = Relationship(
        back_populates="team", sa_relationship_kwargs={"lazy": "immediate"}
    )


class Hero(Base, table=True):
    __table_args__ = {"schema": "pg_temp"}
    id: int | None = Field(default=None, primary_key=True)
    team_id: int | None = Field(default=None, foreign_key="pg_temp.team.id")
    team: Team | None = Relationship(back_populates="heroes")


HEROES = (
    "CREATE TEMPORARY TABLE team (id serial PRIMARY KEY) ON COMMIT DROP",
    "CREATE TEMPORARY TABLE hero (id serial PRIMARY KEY, team_id int) ON COMMIT DROP",
)


def test_relationships_and_autoflush(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            for table in HEROES:
                await session.execute(text(table))
            session.add(Team(heroes=[Hero(), Hero()]))
            team = (await session.exec(select(Team))).one()
            session.expire(team)
            await session.refresh(team)
            assert len(team.heroes) == 2

    run(work())


@pytest.mark.parametrize("message", ["SELECT pg_sleep(5)", "UPDATE tasks SET title = 'B'"])
def test_a_statement_that_times_out_rolls_back(
    message: str, run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with sessions(url) as (database, session):
            sql(url, "INSERT INTO tasks (user_id, title) VALUES ('carol', 'A')")
            async with database.engine.connect() as other:
                await other.execute(text("SELECT FROM tasks FOR UPDATE"))
                session.add(task("C"))
                await session.flush()
                monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)
                with pytest.raises(TimeoutError):
                    await session.execute(text(message))
                monkeypatch.undo()
                with pytest.raises(PendingRollbackError):
                    await session.commit()
                await session.rollback()
            assert titles(url) == ["A"]
            session.add(task("D"))
            await session.commit()
            assert titles(url) == ["A", "D"]

    run(work())


def test_a_cancelled_or_killed_transaction_is_rolled_back(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):

            async def change() -> None:
                async with session.begin():
                    session.add(task("A"))
                    await session.flush()
                    await session.execute(text("SELECT pg_sleep(5)"))

            changing = asyncio.create_task(change())
            await asyncio.sleep(0.1)
            changing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await changing
            session.add(task("B"))
            await session.flush()
            pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await kill(url, pid)
            with pytest.raises(OperationalError):
                await session.commit()
            await session.rollback()
            assert titles(url) == []

    run(work())


def test_a_deadlock_is_not_repeated_within_a_transaction(run: Run, url: URL) -> None:
    """A repeated statement would succeed, without what the transaction did before."""
    lock = text("SELECT FROM tasks WHERE title = :title FOR UPDATE")

    async def work() -> None:
        async with sessions(url) as (database, session):
            for title in "AB":
                sql(url, "INSERT INTO tasks (user_id, title) VALUES ('carol', %s)", title)
            await session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            session.add(task("C"))
            await session.execute(lock, {"title": "A"})
            async with database.engine.begin() as other:
                await other.execute(text("SET LOCAL deadlock_timeout = '60s'"))
                await other.execute(lock, {"title": "B"})
                waiting = asyncio.create_task(other.execute(lock, {"title": "A"}))
                await asyncio.sleep(0.1)
                with pytest.raises(OperationalError) as error:
                    await session.execute(lock, {"title": "B"})
                assert isinstance(error.value.orig, DeadlockDetected)
                await session.rollback()
                await waiting
            assert titles(url) == ["A", "B"]

    run(work())


def test_a_serialization_failure_reaches_the_caller(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (database, session):
            sql(url, "INSERT INTO tasks (user_id, title) VALUES ('carol', 'A')")
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            found = (await session.exec(select(Task))).one()
            [(number,)] = await fetch(
                database.session(), "UPDATE tasks SET title = 'B' RETURNING 1"
            )
            found.title = "C"
            with pytest.raises(OperationalError) as error:
                await session.commit()
            assert (number, type(error.value.orig)) == (1, SerializationFailure)
            await session.rollback()
            assert titles(url) == ["B"]

    run(work())


def test_a_transaction_costs_one_more_round_trip_than_its_statements(
    run: Run, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BEGIN is sent with the first statement."""
    messages: list[str] = []
    execute = driver.Connection._run

    async def recorded(self: driver.Connection, cursor: object, sql: str, values: object) -> object:
        messages.append(sql)
        return await execute(self, cursor, sql, values)  # type: ignore[arg-type]

    async def work() -> None:
        async with sessions(url) as (_, session):
            await session.execute(text("SELECT 0"))  # SQLAlchemy's own statements come first
            await session.rollback()
            monkeypatch.setattr(driver.Connection, "_run", recorded)
            await session.execute(text("SELECT 1"))
            await session.execute(text("SELECT 2"))
            await session.commit()
            assert messages == ["BEGIN; SELECT 1", "SELECT 2", "COMMIT"]
            monkeypatch.undo()

    run(work())


def test_the_pool_gets_no_connection_inside_a_transaction(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (database, _):
            connection = await database.pool.acquire()
            await connection.fetch("BEGIN")
            dialect: Any = database.engine.dialect
            dialect.do_close(connection)
            assert connection.closed

    run(work())


def test_two_statements_at_once_on_one_session_are_refused(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            await session.execute(text("SELECT 1"))
            first = asyncio.create_task(session.execute(text("SELECT pg_sleep(0.2)")))
            await asyncio.sleep(0.05)
            connection = await session.connection()
            with pytest.raises(DBAPIError, match="one statement at a time"):
                await connection.execute(text("SELECT 2"))
            with suppress(DBAPIError):
                await first

    run(work())


def test_a_commit_during_a_statement_is_refused_and_does_not_disturb_it(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (database, _), database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            running = asyncio.create_task(connection.execute(text("SELECT 2 FROM pg_sleep(0.5)")))
            await asyncio.sleep(0.05)
            with pytest.raises(DBAPIError, match="one statement at a time"):
                await connection.commit()
            async with asyncio.timeout(5):
                assert (await running).scalar_one() == 2

    run(work())


def test_after_a_failover_a_session_uses_new_connections(run: Run, url: URL) -> None:
    async def work() -> None:
        async with sessions(url) as (database, session):
            await fetch(database.session(), "SET default_transaction_read_only = on")
            session.add(task("A"))
            with pytest.raises(DBAPIError):
                await session.commit()
            await session.rollback()
            session.add(task("B"))
            await session.commit()
            assert titles(url) == ["B"]

    run(work())


def test_a_statement_is_cancelled_in_the_server_if_its_session_closes_at_once(
    run: Run, url: URL
) -> None:
    async def work() -> None:
        async with sessions(url) as (_, session):
            slow = asyncio.create_task(session.execute(text("SELECT pg_sleep(30)")))
            await asyncio.sleep(0.1)
            slow.cancel()
            await session.close()
            with suppress(asyncio.CancelledError, DBAPIError):
                await slow
            await asyncio.sleep(0.5)
            running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30)%%'"
            assert sql(url, f"{running} AND state = 'active' AND pid <> pg_backend_pid()") == [(0,)]

    run(work())
