"""A database whose connections record what they send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from psycopg2 import extensions
from sqlalchemy.engine import URL

from database import Database, Session
from postgres.driver import Connection
from postgres.prepared import Statement


class Recorded(NamedTuple):
    """A session on one connection at a time, and the messages that were sent."""

    session: Session
    messages: list[str]

    async def fetch(self, statement: str | Statement, **parameters: Any) -> list[Any]:
        return await self.session.fetch(statement, parameters, retry=False)

    @property
    def is_pooled(self) -> bool:
        """Whether the service takes its database for one behind a pooler."""
        return self.session.database.statements.is_pooled

    def commands(self) -> list[str]:
        """Return what each message since the last call was sent for."""
        commands = [message.partition(" ")[0] for message in self.messages]
        self.messages.clear()
        return commands


@asynccontextmanager
async def recorded(url: URL, *, prepared_statements: bool = True) -> AsyncIterator[Recorded]:
    """A database with a pool of one connection, for as long as the context."""
    database = Database(url, 1, prepared_statements=prepared_statements)
    messages: list[str] = []

    class RecordingConnection(Connection):
        async def _run(self, cursor: extensions.cursor, sql: str, parameters: Any) -> None:
            messages.append(sql)
            await super()._run(cursor, sql, parameters)

    database.connection_class = RecordingConnection
    try:
        yield Recorded(database.session(), messages)
    finally:
        await database.close()
