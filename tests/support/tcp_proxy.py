"""A TCP proxy for a database that tests can open, hold and close."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import URL


class Proxy:
    """A TCP proxy for a database, closed at first; tests can open, hold and close it."""

    def __init__(self, target: URL) -> None:
        self._socket = f"{target.query['host']}/.s.PGSQL.5432"
        self._database = target.database
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

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

    @property
    def url(self) -> URL:
        return URL.create("postgresql", "postgres", None, "127.0.0.1", self._port, self._database)

    def open(self) -> None:
        self._do(self._open())

    def close(self) -> None:
        """Refuse connections, and cut those that are open."""
        self._do(self._close())

    def hold(self) -> None:
        """Accept connections and data, and forward nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut(self) -> None:
        """Cut the open connections, and drop the data that they hold; accept new ones."""
        self._do(self._cut())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _open(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._flowing.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def proxy(target: URL) -> Iterator[Proxy]:
    """Run a `Proxy` in a thread of its own."""
    way, started = Proxy(target), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(way.run(started)))
    thread.start()
    assert started.wait(5)
    try:
        yield way
    finally:
        way.stop()
        thread.join(5)
