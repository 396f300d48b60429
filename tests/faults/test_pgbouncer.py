"""The same through PgBouncer in transaction mode, which keeps nothing of a session."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.faults.conftest import Serve
from tests.faults.load import SLOWEST, freeze, load
from tests.faults.pgbouncer import SERVERS, pgbouncer
from tests.faults.servers import KILL_ALL, Postgres
from tests.support.processes import until
from tests.support.services import locked_tasks

Settle = Callable[..., dict[str, Any]]

POOL = min(SERVERS, 10 + 20)  # connections to Postgres that the service can keep busy
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name <> 'tests' AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
def pooled(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    with pgbouncer(database, tmp_path_factory.mktemp("pgbouncer") / "log") as url:
        yield url


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
