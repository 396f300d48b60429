"""A database whose connections record what they send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from psycopg2 import extensions
from sqlalchemy.engine import URL

from database import Database, Session
from postgres.async_connection import Row
from postgres.driver import Connection
from postgres.letter_case import KNOWS_CASE
from postgres.prepared import Statement
from schemas import TaskCreate
from tasks import queries
from tests.support.services import sql

PREPARE, EXECUTE, DEALLOCATE = "PREPARE", "EXECUTE", "DEALLOCATE"
LIST = queries.list_tasks("all", "created", "asc", after=False)


class Recorded(NamedTuple):
    """A session on a single connection, and the messages that it sent."""

    session: Session
    messages: list[str]

    async def fetch(self, statement: str | Statement, **parameters: Any) -> list[Any]:
        return await self.session.fetch(statement, parameters, retry=False)

    @property
    def is_pooled(self) -> bool:
        """Whether the service assumes that its database is behind a pooler."""
        return self.session.database.statements.is_pooled

    def commands(self) -> list[str]:
        """Return the first word of each message since the last call."""
        commands = [message.partition(" ")[0] for message in self.messages]
        self.messages.clear()
        return commands


@asynccontextmanager
async def recorded(url: URL, *, prepared_statements: bool = True) -> AsyncIterator[Recorded]:
    """Yield a session of a database with a pool of one connection."""
    database = Database(url, 1, prepared_statements=prepared_statements)
    messages: list[str] = []

    class RecordingConnection(Connection):
        async def _run(self, cursor: extensions.cursor, sql: str, parameters: Any) -> list[Row]:
            # The service's own checks of the database run at any time, on another connection.
            if "pg_attribute" not in sql and sql != KNOWS_CASE:
                messages.append(sql)
            return await super()._run(cursor, sql, parameters)

    database.connection_class = RecordingConnection
    try:
        yield Recorded(database.session(), messages)
    finally:
        await database.close()


Scenario = Callable[[Recorded], Awaitable[None]]


def run(url: URL, scenario: Scenario, **options: Any) -> None:
    """Run `scenario` on one recorded connection."""

    async def limited() -> None:
        async with asyncio.timeout(20), recorded(url, **options) as scene:
            await scenario(scene)

    asyncio.run(limited())


def a_task(url: URL) -> dict[str, Any]:
    """Create a task, and return parameters for every statement on it."""
    [(task_id,)] = sql(
        url, "INSERT INTO tasks (user_id, title) VALUES ('alice', 'Tea') RETURNING id"
    )
    changes = queries.update_values({"title": "Oolong", "description": None, "completed": True})
    new = a_new_task(title="Oolong", completed=True)
    return {"task_id": task_id, "limit": 1000, **changes, **new}


def a_new_task(**fields: Any) -> dict[str, Any]:
    """Return the parameters of CREATE."""
    values = queries.stored(TaskCreate(title="Tea").model_dump())
    return {"user_id": "alice", **values, **fields}


async def forget(scene: Recorded) -> None:
    await scene.fetch("DEALLOCATE ALL")
