"""The service and its peers: how each is built, migrated and started."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

import process

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
CREATE_TABLES = "from conventional.database import create_db_and_tables as run; run()"
UVICORN = ["--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--log-level", "warning"]


@dataclass(frozen=True)
class Contender:
    """A program that serves the six calls. `{port}` in `start` becomes the port."""

    name: str
    title: str
    start: list[str]
    folder: Path
    build: list[str] = field(default_factory=list)
    migrate: list[str] = field(default_factory=list)
    schema: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)


def all_contenders(work: Path) -> dict[str, Contender]:
    """Every contender by name. Python ones run in `work`, in an environment as in production."""
    python = str(work / "python" / "bin" / "python")
    sync = ["uv", "sync", "--frozen", "--no-dev", "--compile-bytecode", "--quiet"]
    production = {"UV_PROJECT_ENVIRONMENT": str(work / "python")}
    schema = PEERS / "schema.sql"
    found = [
        Contender(
            "service", "this service", [python, "main.py"], ROOT, sync,
            [python, "-m", "alembic", "upgrade", "head"], environment=production,
        ),
        Contender(
            "conventional", "conventional build",
            [python, "-m", "uvicorn", "conventional.main:app", *UVICORN], PEERS, sync,
            [python, "-c", CREATE_TABLES], environment=production,
        ),
        Contender(
            "fastify", "Fastify + pg", ["node", "server.js"], PEERS / "fastify",
            ["npm", "ci", "--no-audit", "--no-fund", "--silent"], schema=schema,
        ),
        Contender(
            "floor", "floor", [sys.executable, "-m", "uvicorn", "floor:app", *UVICORN],
            PEERS / "floor", schema=schema,
        ),
    ]  # fmt: skip
    return {contender.name: contender for contender in found}


def environment(contender: Contender, database_url: str, secret: str) -> dict[str, str]:
    """What the contender finds in its environment, and nothing of the caller's but the basics."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {
        "DATABASE_URL": database_url,
        "BETTER_AUTH_SECRET": secret,
        "ENVIRONMENT": "production",
        "NODE_ENV": "production",
        "LOG_LEVEL": "warning",
        "HOST": "127.0.0.1",
        "DB_POOL_SIZE": "10",
    }
    return basics | settings | contender.environment


def build(contender: Contender) -> None:
    """Installs what the contender needs."""
    if contender.build:
        inherited = dict(os.environ) | contender.environment
        subprocess.run(contender.build, cwd=contender.folder, env=inherited, check=True)


def migrate(contender: Contender, environment: Mapping[str, str]) -> None:
    """Makes the tables in the database that the environment names."""
    if contender.migrate:
        subprocess.run(contender.migrate, cwd=contender.folder, env=environment, check=True)


@dataclass
class Instance:
    """One running process tree of a contender, while it is entered."""

    contender: Contender
    environment: dict[str, str]
    database: str
    port: int = 0
    start_seconds: float = 0  # from exec to the first 200 on /health

    def __enter__(self) -> Self:
        self.port = process.free_port()
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [part.format(port=self.port) for part in self.contender.start],
            cwd=self.contender.folder, env=self.environment | {"PORT": str(self.port)},
            start_new_session=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._wait(begin + 30)
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = time.perf_counter() - begin
        return self

    def _wait(self, deadline: float) -> None:
        while not self.answers(timeout=10):
            if self.process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(
                    f"{self.contender.name} ended, or did not answer /health within 30 s"
                )
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        process.stop(self.process)

    def restart(self) -> None:
        """Ends the process and starts it anew."""
        self.__exit__()
        self.__enter__()

    def answers(self, timeout: float, path: str = "/health", token: str = "") -> bool:
        """Whether a request is answered by a 200 within `timeout` seconds."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
