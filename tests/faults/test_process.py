"""A service that is killed or stopped under load."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.faults.conftest import Serve
from tests.faults.load import load
from tests.faults.servers import Postgres
from tests.support.processes import STOP_LIMIT, Service, free_port, frozen, until

Settle = Callable[..., dict[str, Any]]
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)

# The fewest acknowledged tasks for which the test is meaningful.
ENOUGH = 100


def stopped(service: Service, number: signal.Signals) -> float:
    """Stop the service, check its exit code and its log, and return the seconds that it took."""
    began = time.monotonic()
    assert service.stops(number) == 0
    assert "Traceback" not in "\n".join(service.lines)
    return time.monotonic() - began


def test_a_kill_9_loses_no_acknowledged_task(
    serve: Serve, database: Postgres, settle: Settle
) -> None:
    port = free_port()
    with load(port, pause=0.01, writes=1.0) as users:
        for _ in range(3):
            with serve(port=port) as service:
                service.starts()
                time.sleep(1.5)
                service.process.kill()
                service.process.wait()
        with serve(port=port) as service:
            service.starts()
            time.sleep(1)
            users.stop()
            assert service.stops() == 0
    assert len(users.ledger.acknowledged) > ENOUGH
    settle("kill -9, three times", users.ledger, cut=True)


@SIGNALS
def test_a_signal_stops_the_service_without_cutting_off_a_request(
    serve: Serve, settle: Settle, number: signal.Signals
) -> None:
    with serve() as service:
        service.starts()
        with load(service.port, pause=0.0, writes=1.0) as users:
            time.sleep(2)
            seconds = stopped(service, number)
    assert set(users.ledger.broken) == {"ConnectionRefusedError"}  # no request was cut off
    counted = settle(number.name, users.ledger, cut=True, exit_code=0, seconds_to_stop=seconds)
    # Each executed write got a response. Requests without a response were never started.
    assert counted["created without a 201"] == 0


@contextmanager
def hanging(serve: Serve, database: Postgres, **settings: Any) -> Iterator[Any]:
    """Yield a service under load whose database has just been frozen."""
    with serve(**settings) as service:
        service.starts()
        with load(service.port, pause=0.0, writes=1.0) as users:
            time.sleep(1.5)
            with frozen(database.folder):
                time.sleep(0.5)
                yield service, users


@pytest.mark.parametrize(("number", "patience"), [(signal.SIGTERM, 6), (signal.SIGINT, 1)])
def test_a_signal_stops_the_service_while_the_database_hangs(
    serve: Serve, database: Postgres, settle: Settle, number: signal.Signals, patience: int
) -> None:
    with hanging(serve, database, shutdown_timeout=patience) as (service, users):
        seconds = stopped(service, number)
        users.stop()
    assert seconds < min(STOP_LIMIT, patience + 3)
    assert users.ledger.answers[503] > 0
    settle(
        f"{number.name} while Postgres is frozen, SHUTDOWN_TIMEOUT={patience}",
        users.ledger,
        cut=True,
        exit_code=0,
        seconds_to_stop=seconds,
    )


def test_new_connections_are_refused_while_it_stops(
    serve: Serve, database: Postgres, settle: Settle
) -> None:
    with hanging(serve, database) as (service, users):
        service.process.send_signal(signal.SIGTERM)
        until(lambda: "Shutting down" in "\n".join(service.lines), "the service to stop")
        time.sleep(0.5)
        with load(service.port, 2) as late:
            time.sleep(1)
        assert service.process.wait(STOP_LIMIT) == 0
        users.stop()
    assert late.ledger.answers.total() == 0
    assert set(late.ledger.broken) == {"ConnectionRefusedError"}
    settle(
        "clients connect while a stopped service finishes its requests",
        users.ledger,
        cut=True,
        refused=late.ledger.broken.total(),
    )
