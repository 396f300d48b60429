"""A real Postgres that can be stopped, restarted, replicated and cut off."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from development import database as development
from tests.support.processes import nothing_left_in
from tests.support.services import sql

KILL_ALL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Postgres(development._Server):
    """The server of a folder. The service connects to `tasks`, which can lead to another server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder.resolve())
        self.folder = folder
        self.way = folder / "way"
        self.leads_to(self)

    @property
    def tasks(self) -> URL:
        """A URL that stays the same when `leads_to` switches it to another server."""
        return self.url.set(query={"host": str(self.way)})

    def leads_to(self, other: "Postgres") -> None:
        """Make `tasks` lead to another server, for new connections."""
        new = self.way.with_name("new-way")
        new.symlink_to(other.socket)
        os.replace(new, self.way)  # noqa: PTH105  (pathlib's follows the link)

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return sql(self.url, statement, *parameters)

    def configure(self, name: str, value: str) -> None:
        """Change a setting, for existing sessions too."""
        self.sql(f"ALTER SYSTEM SET {name} = {value}")
        self.sql("SELECT pg_reload_conf()")

    def control(self, *arguments: str) -> None:
        done = self._run("pg_ctl", *arguments, "-w", "-t", "30", check=False)
        assert done.returncode == 0, done.stderr

    def restart(self) -> None:
        self.control("restart", "-m", "fast", "-l", str(self.log))

    def goes_down(self) -> None:
        self.control("stop", "-m", "fast")

    def follow(self, primary: "Postgres") -> None:
        """Become a hot standby of `primary`, which only serves reads."""
        development._make_private(self.socket)
        development._make_private(self.data)
        self.packages = primary.packages
        source = ("-h", str(primary.socket), "-p", str(development.PORT), "-U", "postgres")
        self._run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast")
        self.start()
        assert self.sql("SELECT pg_is_in_recovery()") == [(True,)]

    def catches_up_with(self, primary: "Postgres") -> None:
        [(end,)] = primary.sql("SELECT pg_current_wal_lsn()")
        while self.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", end) != [(True,)]:
            time.sleep(0.05)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server until the context ends."""
    server = Postgres(folder)
    development._make_private(server.socket)
    with nothing_left_in(server.folder):
        try:
            server.start()
            yield server
        finally:
            server.stop()
