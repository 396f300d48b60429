"""A thousand clients that occupy memory: the peak is bounded, and the memory is released.

Any client with a valid token can do this, and any client at all with the documentation. Another
user must be served at the same time.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest

from postgres.dialect import libpq_parameters
from tests.faults import report
from tests.faults.conftest import Serve
from tests.faults.servers import Postgres
from tests.faults.wire import Connection, request
from tests.support.processes import Service

CONNECTIONS = 1000
SIZE = 60 * 1024  # bytes
CEILING = 100.0  # MB
GIVEN_BACK = 15.0  # MB more than what the same connections take when they are idle
TASKS = "/api/hoarder/tasks"
FILL = """
INSERT INTO tasks (user_id, title, description)
SELECT 'hoarder', 'Task ' || n, repeat('d', 1000) FROM generate_series(1, 8000) AS n
"""
JSON = b'{"title": "x"' + b" " * (SIZE - 14) + b"}"
# On loopback the kernel buffers some 4 MB of each response. This service lets it buffer some 8 KB,
# as over a slow network.
SMALL_BUFFERS = """
import runpy
from socket import SO_SNDBUF, SOL_SOCKET, socket

class Small(socket):
    def listen(self, *backlog):
        self.setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)  # connections inherit it
        super().listen(*backlog)

import socket as module
module.socket = Small
runpy.run_path("main.py", run_name="__main__")
"""
SCRIPTS = ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/redoc.standalone.js")


class Shape(NamedTuple):
    """What each client sends. If `is_locked`, the database responds to no statement meanwhile.

    `command` starts the service.
    """

    name: str
    text: Callable[[str], bytes]
    is_locked: bool = False
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def post(user: str) -> bytes:
    return request("POST", f"/api/{user}/tasks", user, JSON)


def half_a_head(_: str) -> bytes:
    return b"GET /health/live HTTP/1.1\r\nHost: a\r\nA: " + b"b" * SIZE


def unread(name: str, *paths: str) -> Shape:
    """Return the shape of clients without a token, each of which requests one of `paths`."""

    def text(user: str) -> bytes:
        return request("GET", paths[int(user[-1]) % len(paths)], None)

    return Shape(f"unread {name}", text, command=("-c", SMALL_BUFFERS))


SHAPES = (
    Shape("half a head of 60 KB", half_a_head),
    Shape("half a body of 60 KB", lambda user: post(user)[:-1000]),
    Shape("POSTs of 60 KB", post),
    Shape("POSTs of 60 KB on a locked table", post, True),
    Shape("unread pages", lambda _: request("GET", f"{TASKS}?limit=1000", "hoarder")),
    Shape("unread whole lists", lambda _: request("GET", TASKS, "hoarder")),
    Shape("pipelined pages", lambda _: request("GET", f"{TASKS}?limit=1000", "hoarder") * 100),
    unread("scripts of the documentation", *SCRIPTS),
    unread("style sheets of the documentation", "/docs/assets/swagger-ui.css"),
    unread("OpenAPI documents", "/openapi.json", "/docs/openapi.json"),
)


@pytest.fixture(scope="module")
def filled(database: Postgres, serve: Serve) -> Postgres:
    with serve() as service:  # it migrates the database
        service.starts()
        database.sql(FILL)
    return database


def resident(service: Service, kind: str = "VmRSS") -> float:
    """Return the memory in MB of 10^6 bytes; the kind `VmHWM` is the peak."""
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(text.split(f"{kind}:")[1].split()[0]) * 1024 / 1e6


@contextmanager
def clients(port: int) -> Iterator[list[socket.socket]]:
    """Open connections with small kernel buffers, so that unread data stays in the service."""
    sockets = [socket.socket() for _ in range(CONNECTIONS)]
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            each.connect(("127.0.0.1", port))
            each.setblocking(False)
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextmanager
def locked(database: Postgres) -> Iterator[None]:
    with psycopg2.connect(**libpq_parameters(database.url)) as connection:
        connection.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        yield


async def send(connection: socket.socket, text: bytes) -> None:
    with suppress(OSError):  # a TimeoutError is an OSError
        async with asyncio.timeout(3):
            await asyncio.get_running_loop().sock_sendall(connection, text)


async def ordinary_user(port: int, seconds: float) -> tuple[Counter[int], float]:
    """Send small requests; return the statuses and the longest response time in seconds."""
    statuses: Counter[int] = Counter()
    slowest, end = 0.0, time.monotonic() + seconds
    connection = Connection(port)
    read = request("GET", "/api/alice/tasks?limit=5")
    write = request("POST", "/api/alice/tasks", "alice", {"title": "small"})
    while time.monotonic() < end:
        for text in (read, write):
            began = time.monotonic()
            statuses[(await connection.ask(text)).status] += 1
            slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.05)
    connection.close()
    return statuses, slowest


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_thousand_clients_stay_within_the_budget(
    shape: Shape, serve: Serve, filled: Postgres
) -> None:
    async def scene(service: Service, sockets: list[socket.socket]) -> tuple[Counter[int], float]:
        texts = [shape.text(f"user{number}") for number in range(10)]
        with locked(filled) if shape.is_locked else nullcontext():
            sending = [send(each, texts[i % 10]) for i, each in enumerate(sockets)]
            rest = asyncio.gather(*sending)
            if shape.is_locked:
                await asyncio.sleep(3)
        seen = await ordinary_user(service.port, 4)
        await rest
        return seen

    for _ in range(2):  # where fragments of the heap remain is chance, so measure again
        with serve(None, *shape.command) as service:
            service.starts()
            with clients(service.port):
                asyncio.run(
                    ordinary_user(service.port, 1)
                )  # so that one-time allocations are in `before`
                before = resident(service)
            with clients(service.port) as sockets:
                statuses, slowest = asyncio.run(scene(service, sockets))
                most = resident(service, "VmHWM")
            time.sleep(5)
            after = resident(service)
        if after - before < GIVEN_BACK:
            break
    seen = {
        "MB before": before,
        "MB at most": most,
        "MB 5 s after": after,
        "seconds of the slowest response": slowest,
    }
    report.remark(
        f"1,000 clients: {shape}",
        seen | {"responses to the well-behaved client": dict(statuses)},
        f"less than {CEILING:.0f} MB",
    )
    assert set(statuses) - ({503} if shape.is_locked else set()) == {200, 201}
    assert slowest < 3
    assert most < CEILING
    assert after - before < GIVEN_BACK


def test_people_on_slow_networks_get_the_documentation(serve: Serve, filled: Postgres) -> None:
    """Each of ten clients reads 100 KB a second."""

    async def reads(service: Service, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=4096)
        try:
            writer.write(request("GET", path, None))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            body = b""
            while len(body) < length and (part := await reader.read(5000)):
                body += part
                await asyncio.sleep(0.05)
            assert len(body) == length
            return head
        finally:
            writer.transport.abort()

    async def scene(service: Service) -> tuple[Counter[int], float]:
        reading = asyncio.gather(*(reads(service, SCRIPTS[i % 2]) for i in range(10)))
        await asyncio.sleep(1)
        seen = await ordinary_user(service.port, 10)
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in await reading)
        return seen

    with serve(None, "-c", SMALL_BUFFERS) as service:
        service.starts()
        statuses, slowest = asyncio.run(scene(service))
    report.remark(
        "10 clients read the scripts of the documentation at 100 KB a second",
        {
            "seconds of the slowest response": slowest,
            "responses to the well-behaved client": dict(statuses),
        },
        "each received every byte",
    )
    assert set(statuses) == {200, 201}
    assert slowest < 1
