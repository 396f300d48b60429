"""Database clients behind a FaultProxy: one in a separate process, and one in this process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import pytest
from sqlalchemy.engine import URL

import database as service_database
from database import Database
from errors import DatabaseUnavailable
from postgres import cancellation, driver
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import environment, sources

TIMEOUT = 0.3  # seconds, instead of the driver's five
ATTEMPTS = 5

# A program that connects for each line that it reads, and prints the result.
CONNECT = f"""
import asyncio, faulthandler, sys
import uvloop
from sqlalchemy.engine import make_url
from database import Database
from errors import DatabaseUnavailable
from postgres import driver

async def main():
    driver.CONNECT_TIMEOUT = {TIMEOUT}
    database = Database(make_url(sys.argv[1]), 1)
    for _ in sys.stdin:
        try:
            rows = await database.session().fetch("SELECT 1", {{}}, retry=True)
            assert rows == [(1,)], rows
            print("connected", flush=True)
        except DatabaseUnavailable as error:
            print("503", getattr(error.__cause__, "sqlstate", None), flush=True)
        database.close_connections()
        for _ in range(5):  # let the cancellation of an attempt that still hangs finish
            await asyncio.sleep(0)
        assert (database.pool.in_use, len(asyncio.all_tasks())) == (0, 1)

faulthandler.enable()
factory = uvloop.new_event_loop if sys.argv[2] == "uvloop" else asyncio.new_event_loop
asyncio.Runner(loop_factory=factory).run(main())
"""


def url_of(proxy: FaultProxy, target: URL, *, tls: bool, **parts: str) -> URL:
    return URL.create(
        "postgresql",
        host="127.0.0.1",
        port=proxy.port,
        database=target.database,
        query={"sslmode": "require" if tls else "disable"},
        **{"username": "postgres", **parts},
    )


class Connecting:
    """A process that connects on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def connect(self) -> str:
        """Return "connected", or "503" with the SQLSTATE, or say how the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self._process.stdout.readline().strip() or f"ended: {self._process.wait()}"

    def connects(self) -> None:
        """Connect, with retries: on a busy machine an attempt may take longer than TIMEOUT."""
        failed = list(islice(iter(self.connect, "connected"), ATTEMPTS))
        assert len(failed) < ATTEMPTS, failed


@contextmanager
def connecting(url: URL, loop: str) -> Iterator[Connecting]:
    command = [sys.executable, "-c", CONNECT, url.render_as_string(False), loop]
    with subprocess.Popen(
        command,
        cwd=sources(),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Connecting(process)
        finally:
            process.kill()


class Client:
    """A session with one connection in this process, which checks that nothing leaks."""

    READ = "SELECT n, 'täxt' || n AS text FROM generate_series(1, 3) n"
    ROWS = ((1, "täxt1"), (2, "täxt2"), (3, "täxt3"))
    WRITE = "INSERT INTO hits VALUES (%(n)s) RETURNING n"

    def __init__(self, url: URL) -> None:
        self._database = Database(url, 1)
        self._session = self._database.session()
        self._reported: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._reported.append(context))

    async def read(self) -> bool:
        """Return True if the rows arrived, or False for a 503."""
        try:
            assert await self._session.fetch(self.READ, {}, retry=True) == list(self.ROWS)
        except DatabaseUnavailable:
            return False
        return True

    async def write(self, number: int) -> bool:
        try:
            rows = await self._session.fetch(self.WRITE, {"n": number}, retry=False)
        except DatabaseUnavailable:
            return False
        assert rows == [(number,)]
        return True

    async def close(self) -> None:
        """Close, and check that nothing is left behind."""
        assert self._database.pool.in_use == 0
        await self._database.close()
        if cancellation._cancellations:  # one that began during the wait for the others
            await asyncio.wait(cancellation._cancellations, timeout=2 * cancellation.CANCEL_TIMEOUT)
            await cancellation.abandon_requests()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:  # an attempt to connect that was just cancelled ends in its own time
            _, others = await asyncio.wait(others, timeout=1)
        assert not others
        assert self._reported == []


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def short_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECT_TIMEOUT", "STATEMENT_TIMEOUT"):
        monkeypatch.setattr(driver, name, TIMEOUT)
    monkeypatch.setattr(service_database, "STATEMENT_START_DEADLINE", TIMEOUT)
