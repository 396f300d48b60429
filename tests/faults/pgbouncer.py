"""A real PgBouncer in transaction mode, between the service and a Postgres."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from development import database as development
from tests.faults.servers import Postgres
from tests.support.processes import until

SERVERS = 20  # connections to Postgres, PgBouncer's default
CONFIGURATION = """
[databases]
* = host={postgres} port={port} user=postgres
[pgbouncer]
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
admin_users = postgres
pool_mode = transaction
"""


def program() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "pgbouncer is not installed"
    return found


def version() -> tuple[int, ...]:
    """Return the version of PgBouncer, such as (1, 18, 0)."""
    line = subprocess.check_output([program(), "--version"], text=True).splitlines()[0]
    return tuple(map(int, line.split()[1].split(".")))


@contextmanager
def pgbouncer(database: Postgres, log: Path, **settings: object) -> Iterator[URL]:
    """Run PgBouncer until the context ends, and yield the URL that leads through it."""
    folder = database.socket / "pgbouncer"  # a path short enough for a socket
    development._make_private(folder)
    file = folder / "pgbouncer.ini"
    text = CONFIGURATION.format(postgres=database.socket, folder=folder, port=development.PORT)
    settings = {"default_pool_size": SERVERS, **settings}
    file.write_text(text + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    file.chmod(0o644)
    command = [*development._setpriv_prefix(), program(), str(file)]
    with log.open("w") as output, subprocess.Popen(command, cwd="/", stderr=output) as process:
        try:
            until(lambda: list(folder.glob(".s.*")) or process.poll() is not None, "PgBouncer")
            assert process.poll() is None, log.read_text()
            yield database.url.set(query={"host": str(folder)})
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)
