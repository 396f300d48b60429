"""Access to the same connections through SQLAlchemy and SQLModel."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from models import Task
from tests.postgres.sessions import Run, fetch, kill, opened

# SQLModel recommends `exec`, whose types have no place for plain SQL.
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*session.exec:DeprecationWarning")


def test_the_engine_invalidates_a_killed_connection(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as session:
            engine = session.bind
            assert isinstance(engine, AsyncEngine)
            async with engine.connect() as connection:
                pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                query = asyncio.create_task(connection.execute(text("SELECT pg_sleep(5)")))
                await asyncio.sleep(0.05)
                await kill(url, pid)
                with pytest.raises(OperationalError) as error:
                    await query
                assert error.value.connection_invalidated
            async with engine.connect() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1

    run(work())


def carols(title: str) -> Task:
    now = datetime.now(UTC)
    return Task(user_id="carol", title=title, created_at=now, updated_at=now)


def test_a_sqlmodel_session_works(run: Run, url: URL) -> None:
    async def work() -> None:
        async with opened(url) as pool, AsyncSession(pool.bind) as session:
            task = carols("Buy milk")
            session.add(task)
            await session.commit()
            await session.refresh(task)
            assert (task.id is not None, task.completed, task.title) == (True, False, "Buy milk")
            found = await session.exec(select(Task).where(Task.user_id == "carol"))
            assert found.all() == [task]
            task.title = "Milk"
            await session.commit()
            assert (await session.exec(select(Task.title))).one() == "Milk"
            await session.delete(task)
            await session.commit()
            assert (await session.exec(select(Task))).all() == []
            session.add(carols(""))
            with pytest.raises(DBAPIError):
                await session.commit()
            await session.rollback()
            session.add(carols("Undone"))
            await session.flush()
            await session.rollback()
            assert (await session.exec(select(Task))).all() == []

    run(work())


def test_a_uuid_has_the_same_type_whoever_has_used_its_connection(run: Run, url: URL) -> None:
    uuid = "SELECT gen_random_uuid()"

    async def work() -> None:
        async with opened(url, 1) as pool:
            [(before,)] = await fetch(pool, uuid)
            async with AsyncSession(pool.bind) as session:
                in_session = (await session.execute(text(uuid))).scalar_one()
            [(after,)] = await fetch(pool, uuid)
            assert {type(each) for each in (before, in_session, after)} == {UUID}

    run(work())
