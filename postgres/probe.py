"""The connection of the health check, which never waits behind requests."""

from postgres.connector import Connect
from postgres.driver import Connection


class Probe:
    """One connection outside the pool, for one user at a time.

    It is opened when it is first needed. A failed attempt is not retried, because the health check
    must report at once that the database is unavailable.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: Connection | None = None
        self._generation = 0

    async def acquire(self) -> Connection:
        """Return the connection, which must be released. Raises TimeoutError or ConnectError."""
        connection, self._idle = self._idle, None
        if connection is not None:
            if connection.is_alive():
                return connection
            connection.close()
        generation = self._generation
        connection = await self._connect()
        connection.generation = generation
        return connection

    def release(self, connection: Connection) -> None:
        """Keep the connection for the next check, unless it is dead or `close` was called."""
        if connection.dead or connection.generation != self._generation:
            connection.close()
        else:
            self._idle = connection

    def close(self) -> None:
        """Close the connection, or if it is in use, let `release` close it."""
        self._generation += 1
        if self._idle is not None:
            self._idle.close()
            self._idle = None
