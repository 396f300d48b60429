"""The same through PgBouncer in transaction mode, which keeps nothing of a session."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from development import database as development
from tests.faults.conftest import Serve
from tests.faults.load import SLOWEST, freeze, load
from tests.faults.servers import KILL_ALL, Postgres
from tests.support.processes import until
from tests.support.services import locked_tasks

Settle = Callable[..., dict[str, Any]]

SERVERS = 20  # connections that it may keep to Postgres, its default
POOL = 10  # that the service has to it
CONFIGURATION = """
[databases]
* = host={postgres} port={port} user=postgres
[pgbouncer]
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
"""
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name <> 'tests' AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
def pooled(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "pgbouncer is not installed"
    folder = database.socket / "pgbouncer"  # a path short enough for a socket
    development._make_private(folder)
    file = folder / "pgbouncer.ini"
    text = CONFIGURATION.format(
        postgres=database.socket, folder=folder, port=development.PORT, servers=SERVERS
    )
    file.write_text(text)
    file.chmod(0o644)
    log = tmp_path_factory.mktemp("pgbouncer") / "log"
    command = [*development._setpriv_prefix(), program, str(file)]
    with log.open("w") as output, subprocess.Popen(command, cwd="/", stderr=output) as process:
        try:
            until(lambda: list(folder.glob(".s.*")) or process.poll() is not None, "PgBouncer")
            assert process.poll() is None, log.read_text()
            yield database.url.set(query={"host": str(folder)})
        finally:
            process.terminate()


def test_every_connection_behind_it_is_killed(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    killed = 0
    with serve(pooled) as service, load(service.starts().port) as users:
        for _ in range(6):
            time.sleep(0.5)
            [(count,)] = database.sql(KILL_ALL)
            killed += int(str(count))
        time.sleep(2)
        users.stop()
        assert service.stops() == 0
    assert killed > POOL
    done = "through PgBouncer: every connection behind it killed, six times"
    settle(done, users.ledger, killed=killed)


def test_a_locked_table_behind_it(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    """Statements are given up in time, and ended where they wait, for it passes the request on."""
    with serve(pooled) as service, load(service.starts().port) as users:
        time.sleep(1)
        with locked_tasks(database.url):
            until(lambda: database.sql(WAITING) == [(POOL,)], "the lock to be felt", 5)
            users.stop()  # whoever waits gets an answer, and nobody else comes
            until(lambda: database.sql(WAITING) == [(0,)], "the statements to be ended", 3)
        with load(service.port) as later:
            time.sleep(1)
        assert service.stops() == 0
    assert users.ledger.slowest < SLOWEST
    assert later.ledger.answers[503] == 0
    settle("through PgBouncer: table locked until all have given up", users.ledger, left_waiting=0)


def test_a_server_that_is_frozen_behind_it(
    serve: Serve, database: Postgres, pooled: URL, settle: Settle
) -> None:
    """It goes on taking connections and statements, and nothing answers them."""
    with serve(pooled) as service, load(service.starts().port) as users:
        time.sleep(1)
        seen = freeze(database.folder, users)
        assert service.stops() == 0
    settle("through PgBouncer: Postgres frozen for 7 s (SIGSTOP)", users.ledger, **seen)
