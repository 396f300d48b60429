"""More load than the service can handle: it serves some, refuses others quickly, and recovers."""

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

# Each INSERT takes 20 ms more, as in a distant or busy database.
SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION dawdle()
"""


def latency(service: Service) -> float:
    """Return the median response time of sequential requests, in milliseconds."""
    took = []
    with service.client() as client:
        for _ in range(101):
            began = time.perf_counter()
            assert client.get(f"{TASKS}?limit=5").status_code == 200
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def overload(service: Service, writes: float = 0.3) -> tuple[Load, dict[str, Any]]:
    """Send requests on 1,000 connections without a pause, and check that the service recovers."""
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
    with serve() as service:  # it migrates the database
        service.starts()
        database.sql(SLOW)


def test_a_thousand_connections_on_a_slow_database(
    serve: Serve, settle: Settle, slow: None
) -> None:
    """Two connections can make 100 writes a second: 200 of the 1,000 are served in time."""
    with serve(db_pool_size=2, db_max_overflow=0) as service:
        users, seen = overload(service.starts(), writes=1.0)
        assert service.stops() == 0
    codes = dict(users.ledger.codes)
    assert users.ledger.slowest < 5
    assert (
        users.ledger.answers[201] > 100
    )  # of 600: refusing the other requests leaves time for these
    # Only the first requests wait until they time out, because the service has no pace to judge by.
    assert codes["OVERLOADED"] > 0
    assert codes.get("DATABASE_UNAVAILABLE", 0) < CONNECTIONS
    settle(
        "the same, with 2 database connections and 20 ms for each write",
        users.ledger,
        **{"503 by code": codes},
        **seen,
    )
