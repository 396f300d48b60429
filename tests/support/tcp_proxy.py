"""A TCP proxy for a database that tests can open, hold and close."""

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import URL

# Errors that a server sends in place of a session: the fields of PostgreSQL's ErrorResponse.
STARTING_UP = {"S": "FATAL", "C": "57P03", "M": "the database system is starting up"}
WRONG_PASSWORD = {"S": "FATAL", "C": "28P01", "M": "password authentication failed for user"}
SSL_REQUEST = 80877103


class Proxy:
    """A TCP proxy for a database, closed at first; tests can open, hold and close it."""

    def __init__(self, target: URL) -> None:
        self._socket = f"{target.query['host']}/.s.PGSQL.5432"
        self._database = target.database
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._error: dict[str, str] | None = None
        self._resets = False
        self._stranded: list[asyncio.Event] = []
        self.attempts = 0  # connections that were accepted

    async def run(self, started: threading.Event) -> None:
        self._loop, self._stop, self._flowing = (
            asyncio.get_running_loop(),
            asyncio.Event(),
            asyncio.Event(),
        )
        await self._open()
        await self._close()
        started.set()
        await self._stop.wait()
        await self._close()
        for flowing in self._stranded:
            flowing.set()
        await asyncio.sleep(0.01)  # so that the tasks of the connections end by themselves

    @property
    def url(self) -> URL:
        return URL.create("postgresql", "postgres", None, "127.0.0.1", self._port, self._database)

    def open(self) -> None:
        self._do(self._open())

    def close(self) -> None:
        """Refuse new connections, and cut the open ones."""
        self._do(self._close())

    def hold(self) -> None:
        """Accept connections and data, and forward nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def reset(self) -> None:
        """Reset the open connections and every new one."""
        self._do(self._answer_with(None, resets=True))

    def fail(self, error: dict[str, str]) -> None:
        """Send every new connection an error and close it; cut the open ones."""
        self._do(self._answer_with(error))

    def strand(self) -> None:
        """Serve new connections, and never again forward anything on the open ones."""
        self._do(self._strand())

    def cut(self) -> None:
        """Cut the open connections, and drop the data that they hold; accept new ones."""
        self._do(self._cut())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _answer_with(self, error: dict[str, str] | None, *, resets: bool = False) -> None:
        await self._open()
        await self._cut()
        self._error, self._resets = error, resets

    async def _open(self) -> None:
        self._error, self._resets = None, False
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _strand(self) -> None:
        self._stranded.append(self._flowing)  # keeps the waiting tasks from being garbage-collected
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._flowing.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        if self._resets:
            writer.transport.abort()
            return
        if self._error:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await _send_error(reader, writer, self._error)
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, there_writer}
        flowing = self._flowing
        await asyncio.gather(
            self._copy(reader, there_writer, flowing), self._copy(there_reader, writer, flowing)
        )

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


async def _send_error(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: dict[str, str]
) -> None:
    """Respond to the start of a session with an error.

    See https://www.postgresql.org/docs/current/protocol-message-formats.html.
    """
    length, code = struct.unpack("!ii", await reader.readexactly(8))
    if code == SSL_REQUEST:
        writer.write(b"N")
        length, code = struct.unpack("!ii", await reader.readexactly(8))
    await reader.readexactly(length - 8)
    fields = b"".join(f"{name}{text}\0".encode() for name, text in error.items()) + b"\0"
    writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
    await writer.drain()


@contextmanager
def proxy(target: URL) -> Iterator[Proxy]:
    """Run a `Proxy` in its own thread."""
    way, started = Proxy(target), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(way.run(started)))
    thread.start()
    assert started.wait(5)
    try:
        yield way
    finally:
        way.stop()
        thread.join(5)
