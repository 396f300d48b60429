"""A temporary Postgres server, with settings and data for the benchmarks."""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import process
import psycopg2
from population import Population
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

USER = "bench"

# Commits are durable, as in production. Work that Postgres does at times must not slow one
# contender's round: no checkpoint happens within a run, and vacuum runs between measurements. The
# buffers hold the databases of eight contenders with a million tasks each, so no contender's pages
# are evicted.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "3GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "timezone": "UTC",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}

SEED = """
INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at)
OVERRIDING SYSTEM VALUE
SELECT {start} + (task - 1) * {users} + person, {person}, 'Task ' || task || ' of a person',
       CASE WHEN task % 3 > 0 THEN repeat('What there is to know about it. ', 3) END,
       task % 4 = 0, moment, moment
FROM generate_series(1, {tasks}) AS task, generate_series(1, {users}) AS person,
     LATERAL (SELECT timestamptz '2025-01-01' + task * interval '1 hour'
                     + person * 1009 * interval '1 microsecond') AS at (moment)
ORDER BY task, person
"""


def find_binaries(given: str | None) -> Path:
    """Return the folder of Postgres' programs: `given`, on PATH, Debian's, or pg_config's."""
    if given:
        return Path(given)
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if debian:
        return debian[-1]
    if config := shutil.which("pg_config"):
        return Path(subprocess.check_output([config, "--bindir"], text=True).strip())
    raise SystemExit("No Postgres programs were found; name their folder with --postgres-bin.")


def _owner() -> str | None:
    """Return the user for the server: None, or an unprivileged one if this is root."""
    if os.getuid():
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def script(path: Path) -> str:
    """Return the SQL of a script, without its comments and without psql's own commands."""
    return re.sub(r"(?m)--.*|^\\.*", "", path.read_text())


@dataclass
class Server:
    """The server, which runs while the context is open."""

    binaries: Path
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))

    def __enter__(self) -> Self:
        self.port = process.free_port()
        self.password = secrets.token_hex(16)
        self.owner = _owner()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
        try:
            self._create()
            self._start()
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            process.stop(self.process, signal.SIGINT)
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """Return the id of the server's main process."""
        assert self.process is not None
        return self.process.pid

    def _create(self) -> None:
        """Run initdb, with a password for the only user."""
        password = self.folder / "password"
        password.write_text(self.password)
        if self.owner:
            shutil.chown(self.folder, self.owner)
            shutil.chown(password, self.owner)
        options = ["--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        locale = ["--encoding=UTF8", "--locale=C.UTF-8"]
        data = ["-D", str(self.folder / "data"), "-U", USER]
        subprocess.run(
            [str(self.binaries / "initdb"), *data, *options, *locale],
            user=self.owner, cwd="/", check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def _start(self) -> None:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
        self.process = subprocess.Popen(
            [*command, f"--port={self.port}", *settings],
            user=self.owner, cwd="/", start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _wait(self) -> None:
        """Wait until the server accepts connections."""
        for _ in range(300):
            try:
                return psycopg2.connect(self.url("postgres")).close()
            except psycopg2.OperationalError:
                time.sleep(0.1)
        raise SystemExit("The temporary Postgres server did not start within 30 s.")

    def url(self, database: str) -> str:
        """Return the connection string of a database."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def connect(self, database: str) -> Iterator[Connection]:
        """Return a connection in autocommit."""
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, database: str, *statements: str) -> None:
        """Execute statements one by one, each in its own transaction."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def version(self) -> str:
        """Return the version of the server."""
        with self.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(fetch_all(cursor)[0][0])

    @contextmanager
    def loading(self, database: str) -> Iterator[None]:
        """Drop the indexes of `tasks`, and create them at the end, which is much faster."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks'"
                " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
            )
            indexes = fetch_all(cursor)
        self.execute(database, *(f"DROP INDEX {name}" for name, _ in indexes))
        yield
        self.execute(
            database,
            "SELECT setval(pg_get_serial_sequence('tasks', 'id'), (SELECT max(id) FROM tasks))",
            *(definition for _, definition in indexes),
            "VACUUM (ANALYZE) tasks",
            "CHECKPOINT",
        )

    def seed(self, database: str, *populations: Population) -> None:
        """Fill `tasks`."""
        with self.loading(database):
            for population in populations:
                self.execute(database, SEED.format(**population.seed()))


def fetch_all(cursor: Cursor) -> list[tuple[str, ...]]:
    """Return all rows of the last statement."""
    return cursor.fetchall()
