"""Measure what libraries would cost in place of our own code, for docs/decisions.

`uv run --with asyncpg --with psycopg[binary] --with joserfc --with pyjwt benchmarks/alternatives.py
[--quick]` takes about a minute. Needs Postgres' programs. CPU times are medians of
interleaved rounds; memory is what an import adds to a process that has imported the service.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from postgres_server import Server, find_binaries  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware  # noqa: E402

from database import Database  # noqa: E402
from middleware import cors  # noqa: E402
from observability.redaction import shown_path  # noqa: E402

QUICK = "--quick" in sys.argv  # to try the program; the figures mean nothing
ROUNDS = 1 if QUICK else 7
STATEMENT = (
    "SELECT id, user_id, title, description, completed FROM tasks WHERE id = {} AND user_id = {}"
)
TABLE = (
    "CREATE TABLE tasks (id bigint PRIMARY KEY, user_id text, title text, description text,"
    " completed boolean)",
    "INSERT INTO tasks VALUES (1, 'alice', 'Buy milk', 'Two litres', false)",
)
# Packages, and the modules that are imported before them.
IMPORTS = {
    "httpx": ("httpx", "ssl"),
    "cryptography, for public_keys": ("tokens.public_keys", "ssl"),
    "PyJWT, after that": ("jwt, jwt.algorithms", "tokens.public_keys"),
    "joserfc, after that": ("joserfc.jwt, joserfc.jwk", "tokens.public_keys"),
    "Alembic": ("alembic.command, alembic.config", "ssl"),
    "OpenTelemetry's SDK and exporters": ("observability.exporters", "ssl"),
    "psycopg 3": ("psycopg", "ssl"),
    "asyncpg": ("asyncpg", "ssl"),
}
IMPORTING = """
import gc, sys
sys.path.insert(0, {root!r})
import main, {before}
from serving import server

def resident():
    gc.collect()
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

before = resident()
import {modules}
print((resident() - before) * 1024 / 1e6)
"""

# Statements that turn off parts of memory.py.
STARTS = {
    "the service as imported": "memory.block_imports = nothing; memory.trim_memory = int",
    "with imports blocked": "memory.trim_memory = int",
    "with memory trimmed": "memory.block_imports = nothing",
    "with both": "",
}
STARTING = """
import sys
from contextlib import nullcontext
sys.path.insert(0, {root!r})
import memory

def nothing(*packages):
    return nullcontext()

{statements}
import main
from serving import server
server.config(main.app, main.app.state.settings)
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6)
"""


def started_mb(statements: str) -> float:
    """Return the service's resident memory when it is ready to serve."""
    return _printed(STARTING.format(root=str(ROOT), statements=statements))


def _printed(program: str) -> float:
    """Return the median of the numbers that `program` prints last."""
    command = [sys.executable, "-c", program]
    outputs = [
        subprocess.check_output(command, cwd=ROOT, text=True) for _ in range(1 if QUICK else 3)
    ]
    return median(float(output.splitlines()[-1]) for output in outputs)


def imported_mb(modules: str, before: str) -> float:
    """Return the resident memory that importing `modules`, after `before`, adds to the service."""
    return _printed(IMPORTING.format(root=str(ROOT), modules=modules, before=before))


async def cpu_us(cases: dict[str, Callable[[], Awaitable[Any]]], times: int) -> dict[str, float]:
    """Return the CPU time of each case in microseconds. The cases take turns."""
    rounds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            began = time.process_time()
            for _ in range(times):
                await case()
            rounds[name].append((time.process_time() - began) / times * 1e6)
    return {name: median(figures) for name, figures in rounds.items()}


async def statements(url: str) -> dict[str, float]:
    """Measure a row by its key: our driver, with and without the pool, and other drivers."""
    import asyncpg  # type: ignore[import-not-found]
    import psycopg  # type: ignore[import-not-found]

    database = Database(make_url(url).set(drivername="postgresql"), 1)
    session = database.session()
    ours, theirs = STATEMENT.format("%(id)s", "%(user_id)s"), STATEMENT.format("$1", "$2")
    values = {"id": 1, "user_id": "alice"}
    connection = await database.pool.acquire()
    database.pool.release(connection)
    third = await psycopg.AsyncConnection.connect(url, autocommit=True)
    other = await asyncpg.connect(url)
    pooled = await asyncpg.connect(url, statement_cache_size=0)

    async def psycopg3() -> Any:
        return await (await third.execute(ours, values)).fetchall()

    figures = await cpu_us(
        {
            "psycopg2, our driver": lambda: connection.fetch(ours, values),
            "the same with our pool and session": lambda: session.fetch(ours, values, retry=True),
            "psycopg 3, AsyncConnection": psycopg3,
            "asyncpg": lambda: other.fetch(theirs, 1, "alice"),
            "asyncpg, nothing prepared before": lambda: pooled.fetch(theirs, 1, "alice"),
        },
        2000,
    )
    await third.close()
    await other.close()
    await pooled.close()
    await database.close()
    return figures


async def middleware() -> dict[str, float]:
    """Measure CORS around an application that does nothing, with and without an Origin."""
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({**start, "headers": [(b"content-length", b"0")]})

    async def send(message: Any) -> None: ...

    origins = ("https://app.example.com",)
    ours = cors.CORSMiddleware(application, origins)
    theirs = StarletteCORSMiddleware(application, origins, cors.METHODS, cors.REQUEST_HEADERS, True)

    def call(app: Any, headers: list[tuple[bytes, bytes]]) -> Callable[[], Awaitable[Any]]:
        def called() -> Awaitable[Any]:
            scope = {"type": "http", "method": "GET", "headers": headers, "state": {}}
            return app(scope, None, send)  # type: ignore[no-any-return]

        return called

    plain = [(b"host", b"localhost"), (b"authorization", b"Bearer x"), (b"accept", b"*/*")]
    browser = [*plain, (b"origin", b"https://app.example.com")]
    return await cpu_us(
        {
            "CORS, ours (only chooses the headers), no Origin": call(ours, plain),
            "CORS, Starlette's, no Origin": call(theirs, plain),
            "CORS, ours (only chooses the headers), an Origin": call(ours, browser),
            "CORS, Starlette's, an Origin": call(theirs, browser),
        },
        5000,
    )


async def redaction() -> dict[str, float]:
    """Measure the redaction of a path for the log."""

    def call(path: str) -> Callable[[], Awaitable[Any]]:
        async def called() -> Any:
            return shown_path(path)

        return called

    paths = {"a task": "/api/user_123/tasks/42", "a token": "/api/" + "eyJ" + "a" * 200 + "/tasks"}
    paths["64 KiB of %25"] = "/" + "%25" * 21_000
    return await cpu_us({f"redaction, {name}": call(path) for name, path in paths.items()}, 2000)


async def main() -> None:
    """Print every figure."""
    with Server(find_binaries(None)) as server:
        server.execute("postgres", *TABLE)
        for figures in (await statements(server.url("postgres")), await middleware()):
            for name, figure in figures.items():
                print(f"{name:45} {figure:7.1f} µs")
    for name, figure in (await redaction()).items():
        print(f"{name:45} {figure:7.1f} µs")
    for name, left_out in STARTS.items():
        print(f"{name:45} {started_mb(left_out):7.1f} MB")
    for name, (modules, before) in IMPORTS.items():
        print(f"{name:45} {imported_mb(modules, before):7.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
