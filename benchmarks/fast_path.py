"""What the fast path saves: the CPU time of a request in process, without server and database.

`uv run benchmarks/fast_path.py` prints microseconds for each route, on the fast path and on
FastAPI's, interleaved.
"""

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.types import Message, Scope

from config import Settings
from main import create_app
from routing.admission import Admission
from tokens.verifier import TokenVerifier, make_token

SECRET = secrets.token_urlsafe(32)
NOW = "2026-01-09T12:30:45.123456Z"
ROUNDS, REQUESTS = 7, 1000
PATHS = {"live": "/health/live", "get": "/api/alice/tasks/1"}


class OneTask:
    """A session and its database, in which every statement finds the same task."""

    def session(self, *_: object) -> "OneTask":
        return self

    async def fetch(self, *_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(1, "alice", "Buy milk", None, False, NOW, NOW)]


def application(*, fast: bool) -> FastAPI:
    app = create_app(
        Settings(_env_file=None, better_auth_secret=SECRET, log_level="warning", access_log=False)
    )
    app.state.verifier = TokenVerifier(SECRET)
    app.state.admission = Admission(10, 100)
    app.state.database = OneTask()
    if not fast:  # a handler for validation errors turns the fast path off
        app.exception_handler(RequestValidationError)(_unused)
    return app


async def _unused(*_: object) -> None: ...


def scope(path: str) -> Scope:
    token = make_token("alice", SECRET)
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
        "state": {},
    }


async def receive() -> Message:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def measured(app: FastAPI, path: str) -> float:
    """Return the CPU time of a request in microseconds."""
    statuses = set()

    async def send(message: Message) -> None:
        statuses.add(message.get("status", 200))

    request = scope(path)
    began = time.process_time()
    for _ in range(REQUESTS):
        await app(dict(request), receive, send)
    elapsed = time.process_time() - began
    assert statuses == {200}, statuses
    return elapsed / REQUESTS * 1e6


async def main() -> None:
    apps = {"fast path": application(fast=True), "FastAPI's": application(fast=False)}
    for name, path in PATHS.items():
        times = {which: [await measured(app, path)] for which, app in apps.items()}
        for _ in range(ROUNDS):
            for which, app in apps.items():
                times[which].append(await measured(app, path))
        print(name, {which: round(min(each), 1) for which, each in times.items()})


if __name__ == "__main__":
    asyncio.run(main())
