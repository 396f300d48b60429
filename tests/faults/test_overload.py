"""More than can be served: some is served, the rest is told so quickly, and then all is well."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.conftest import Serve
from tests.faults.load import TASKS, Load, load
from tests.faults.servers import Postgres
from tests.support.processes import Service

Settle = Callable[..., dict[str, Any]]

CONNECTIONS = 1000
SECONDS = 6

# Each statement on tasks takes 20 ms more, as in a database that is far away and busy.
SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION dawdle()
"""


def latency(service: Service) -> float:
    """The median of some requests in a row, in milliseconds."""
    took = []
    with service.client() as client:
        for _ in range(101):
            began = time.perf_counter()
            assert client.get(f"{TASKS}?limit=5").status_code == 200
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def overload(service: Service, writes: float = 0.3) -> tuple[Load, dict[str, Any]]:
    """A thousand connections that ask as fast as they are answered, and what is normal again."""
    before = latency(service)
    live = "/health/live"
    with load(service.port, CONNECTIONS, pause=0.0, writes=writes, health=live) as users:
        time.sleep(SECONDS)
    time.sleep(2)
    after = latency(service)
    ledger = users.ledger
    assert ledger.broken.total() == 0
    assert {status for _, _, status in ledger.health} == {200}
    assert after < 3 * before + 10
    return users, {
        "seconds of the slowest `/health/live`": max(took for _, took, _ in ledger.health),
        "ms a request before": before,
        "ms a request 2 s after": after,
    }


def test_a_thousand_connections(serve: Serve, settle: Settle) -> None:
    with serve() as service:
        users, seen = overload(service.starts())
        assert service.stops() == 0
    assert users.ledger.slowest < 5
    settle("1,000 connections", users.ledger, **seen)


def test_a_thousand_connections_where_fifty_may_wait(serve: Serve, settle: Settle) -> None:
    with serve(max_waiting=50) as service:
        users, seen = overload(service.starts())
        assert service.stops() == 0
    assert users.ledger.codes["OVERLOADED"] > users.ledger.codes["DATABASE_UNAVAILABLE"]
    codes = dict(users.ledger.codes)
    settle("the same, with `MAX_WAITING=50`", users.ledger, **{"503 by code": codes}, **seen)


@pytest.fixture
def slow(serve: Serve, database: Postgres) -> None:
    with serve() as service:  # which migrates
        service.starts()
        database.sql(SLOW)


def test_a_thousand_connections_on_a_slow_database(
    serve: Serve, settle: Settle, slow: None
) -> None:
    """Two connections make 100 writes a second: 200 of the 1,000 can be served in time."""
    with serve(db_pool_size=2, db_max_overflow=0) as service:
        users, seen = overload(service.starts(), writes=1.0)
        assert service.stops() == 0
    codes = dict(users.ledger.codes)
    assert users.ledger.slowest < 5
    assert users.ledger.answers[201] > 100  # of 600: refusing the others leaves time for these
    # The first rush waits in vain, for nobody knew better; nobody after that.
    assert codes["OVERLOADED"] > 0
    assert codes.get("DATABASE_UNAVAILABLE", 0) < CONNECTIONS
    settle(
        "the same, with 2 database connections and 20 ms for each write",
        users.ledger,
        **{"503 by code": codes},
        **seen,
    )
