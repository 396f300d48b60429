"""The example: Postgres and the service, which tests can stop, the auth server and the page."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg2

from config import ROOT
from tests.example.link import link
from tests.parts.parts import need
from tests.support.processes import User, free_port, started, until, using
from tests.support.serving import SECRET

AUTH = ROOT / "examples/auth"
FRONTEND = ROOT / "examples/frontend"


class Stack:
    """The example while it runs: Postgres, the service, the auth server and the frontend.

    The service and the auth server keep their ports when they are restarted. The browsers reach the
    frontend through `link`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api, self.auth, self.page = free_port(), free_port(), free_port()
        self._parts = ExitStack()
        self.link = self._parts.enter_context(link(self.page))
        self.url = f"http://localhost:{self.link.port}"
        self._auth = ExitStack()
        self._service = ExitStack()
        self._postgres = ExitStack()
        self._database: User

    def __enter__(self) -> "Stack":
        self.start_postgres()
        self.start_service()
        self._run(AUTH, "--import", "tsx", "migrate.ts")
        self.start_auth()
        vite = "node_modules/vite/bin/vite.js"
        dist = str(self.folder / "dist")
        self._run(FRONTEND, vite, "build", "--outDir", dist, "--emptyOutDir")
        self._serve(self._parts, FRONTEND, vite, "preview", "--outDir", dist)
        until(lambda: self._responds("/api/auth/ok") and self._responds("/"), "the example")
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self._parts, self._auth, self._service, self._postgres):
            part.close()

    def start_postgres(self) -> None:
        self._database = self._postgres.enter_context(using(self.folder / "postgres"))
        self.database_url = self._database.is_served()

    def stop_postgres(self) -> None:
        assert self._database.leaves() == 0
        self._postgres.close()

    def start_auth(self, **environment: str) -> None:
        self._serve(self._auth, AUTH, "--import", "tsx", "server.ts", **environment)

    @contextmanager
    def auth_in_production(self) -> Iterator[None]:
        """Let Better Auth limit the requests, as it does in production."""
        self._restart_auth(NODE_ENV="production")
        try:
            yield
        finally:
            self._restart_auth()

    def _restart_auth(self, **environment: str) -> None:
        self._auth.close()
        self.start_auth(**environment)
        until(lambda: self._responds("/api/auth/ok"), "the auth server")

    def start_service(self, **settings: object) -> None:
        ours: dict[str, object] = {
            "port": self.api,
            "database_url": self.database_url,
            "better_auth_url": self.url,
            "jwks_url": f"http://127.0.0.1:{self.auth}/api/auth/jwks",
            "better_auth_secret": "",
        }
        service = started(self.folder / "service", **ours, **settings)
        self.service = self._service.enter_context(service).starts()

    def stop_service(self) -> None:
        assert self.service.stops() == 0
        self._service.close()

    @contextmanager
    def small_service(self) -> Iterator[None]:
        """Let the service use one connection, and keep few requests waiting."""
        self.stop_service()
        self.start_service(db_pool_size=1, db_max_overflow=0, max_waiting=12)
        try:
            yield
        finally:
            self.stop_service()
            self.start_service()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with (
            closing(psycopg2.connect(self.database_url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def add_many(self, email: str, number: int) -> None:
        """Add the tasks "1", "2" and so on. The last one is the newest."""
        self.sql(
            'INSERT INTO tasks (user_id, title) SELECT u.id, number::text FROM "user" AS u,'
            " generate_series(1, %s) AS number WHERE email = %s",
            number,
            email,
        )

    def end_session(self, email: str) -> None:
        self.sql(
            "UPDATE session SET \"expiresAt\" = now() - interval '1 minute'"
            ' WHERE "userId" = (SELECT id FROM "user" WHERE email = %s)',
            email,
        )

    def titles(self, email: str) -> list[str]:
        """Return the titles of a user's tasks in the database."""
        rows = self.sql(
            'SELECT title FROM tasks JOIN "user" AS u ON u.id = user_id WHERE email = %s'
            " ORDER BY tasks.id",
            email,
        )
        return [title for (title,) in rows]

    def _environment(self) -> dict[str, str]:
        user, _, socket = self.database_url.partition("?")
        database = user.rpartition("/")[2]
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "PORT": "",
            "API_URL": f"http://127.0.0.1:{self.api}",
            "AUTH_URL": f"http://127.0.0.1:{self.auth}",
            "BETTER_AUTH_URL": self.url,
            "BETTER_AUTH_SECRET": SECRET,
            "BETTER_AUTH_TELEMETRY": "0",
            "DATABASE_URL": f"postgresql://postgres@localhost/{database}?{socket}",
        }

    def _command(self, folder: Path, words: tuple[str, ...]) -> dict[str, Any]:
        port = self.auth if folder == AUTH else self.page
        environment = self._environment() | {"PORT": str(port)}
        return {"args": ["node", *words], "cwd": folder, "env": environment}

    def _run(self, folder: Path, *words: str) -> None:
        subprocess.run(**self._command(folder, words), check=True, stdout=subprocess.DEVNULL)

    def _serve(
        self, until_closed: ExitStack, folder: Path, *words: str, **environment: str
    ) -> None:
        command = self._command(folder, words)
        command["env"] |= environment
        process = subprocess.Popen(**command, stdout=subprocess.DEVNULL)
        until_closed.callback(process.wait)
        until_closed.callback(process.kill)

    def _responds(self, path: str) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(self.url + path, timeout=20).status_code == 200
        return False


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    need("Node.js", "the example's auth server", "the example's frontend")
    with Stack(folder) as running:
        yield running
