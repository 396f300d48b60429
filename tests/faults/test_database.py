"""A database that fails in various ways under load, and one service that survives all of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from tests.faults.conftest import Serve
from tests.faults.load import Load, assert_healthy_again, assert_was_unhealthy, freeze, load
from tests.faults.servers import KILL_ALL, Postgres, postgres
from tests.support.processes import Service
from tests.support.services import connect, eventually, locked_tasks

Settle = Callable[..., dict[str, Any]]

OTHERS = """
FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'tests'
"""


@pytest.fixture
def users(service: Service) -> Iterator[Load]:
    with load(service.port) as users:
        time.sleep(1)
        yield users


def test_the_service_survives_the_kill_of_every_connection(
    database: Postgres, users: Load, settle: Settle
) -> None:
    killed = 0
    for _ in range(10):
        [(count,)] = database.sql(KILL_ALL)
        killed += int(str(count))
        time.sleep(0.3)
    seen = assert_healthy_again(users, time.monotonic())
    assert killed > 20
    settle("every connection is killed, ten times", users.ledger, killed=killed, **seen)


def test_the_service_survives_a_fast_restart_of_postgres(
    database: Postgres, users: Load, settle: Settle
) -> None:
    database.restart()
    seen = assert_healthy_again(users, time.monotonic())
    settle("Postgres is restarted (fast)", users.ledger, **seen)


def test_the_service_survives_a_stop_of_postgres(
    database: Postgres, users: Load, settle: Settle
) -> None:
    database.goes_down()
    since = time.monotonic()
    time.sleep(10)
    until = time.monotonic()
    database.start()
    seen = assert_healthy_again(users, time.monotonic())
    assert_was_unhealthy(users, since, until)
    settle("Postgres is stopped for 10 s", users.ledger, **seen)


def test_the_service_survives_a_frozen_postgres(
    database: Postgres, users: Load, settle: Settle
) -> None:
    seen = freeze(database.folder, users)
    settle("Postgres is frozen for 7 s (SIGSTOP)", users.ledger, **seen)


def _is_zero(cursor: psycopg2.extensions.cursor, query: str) -> bool:
    cursor.execute(query)
    return cursor.fetchone() == (0,)


def test_the_service_survives_a_postgres_without_a_free_connection(
    database: Postgres, service: Service, users: Load, settle: Settle
) -> None:
    def take_all() -> None:
        with suppress(psycopg2.OperationalError):
            while True:
                hoard.enter_context(closing(connect(database.url)))

    with ExitStack() as hoard:
        first = hoard.enter_context(closing(connect(database.url)))
        take_all()
        process = psutil.Process(service.process.pid)
        process.suspend()  # briefly, so that it can't reconnect before `take_all`
        with first.cursor() as cursor:
            cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {OTHERS}")
            eventually(lambda: _is_zero(cursor, f"SELECT count(*) {OTHERS}"))
        take_all()
        process.resume()
        since = time.monotonic()
        time.sleep(7)  # longer than a request waits for a connection
        until = time.monotonic()
    seen = assert_healthy_again(users, time.monotonic())
    assert_was_unhealthy(users, since, until)
    assert users.ledger.answers[503] > 0
    settle("Postgres has no free connection for 7 s", users.ledger, **seen)


def test_the_service_survives_a_locked_table(
    database: Postgres, users: Load, settle: Settle
) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name <> 'tests' AND wait_event_type = 'Lock'"
    )
    most = 0
    with locked_tasks(database.url):
        until = time.monotonic() + 7
        while time.monotonic() < until:
            most = max(most, int(str(database.sql(waiting)[0][0])))
            time.sleep(0.2)
    seen = assert_healthy_again(users, time.monotonic())
    assert {status for _, _, status in users.ledger.health} == {200}
    # At most one waiting statement for each of the connections: abandoned ones were cancelled.
    assert 0 < most <= 31
    settle("the table is locked for 7 s", users.ledger, most_statements_waiting=most, **seen)


def test_idle_connections_closed_by_the_server_cause_no_503(
    database: Postgres, service: Service, settle: Settle
) -> None:
    with load(service.port, connections=6, pause=1.0, writes=1.0) as users:
        database.configure("idle_session_timeout", "300")
        time.sleep(6)
        database.configure("idle_session_timeout", "0")
    seen = assert_healthy_again(users, time.monotonic() - 4)
    assert users.ledger.answers[503] == 0
    settle("Postgres closes idle connections after 0.3 s (Neon: 5 min)", users.ledger, **seen)


def test_the_service_follows_a_failover(
    serve: Serve, tmp_path: Path, database: Postgres, settle: Settle
) -> None:
    """The primary becomes read-only but stays up; clients move to a standby, promoted later."""
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'task-management-api'"
    with postgres(tmp_path / "old") as old, serve(old.tasks) as service:
        service.starts()
        new = Postgres(tmp_path / "new")
        with ExitStack() as stack:
            stack.callback(new.stop)
            new.follow(old)
            users = stack.enter_context(load(service.port))
            time.sleep(1)
            old.configure("default_transaction_read_only", "on")
            time.sleep(1)
            new.catches_up_with(old)
            old.leads_to(new)
            time.sleep(3)
            refused = users.ledger.answers[503]
            new.control("promote")
            promoted = time.monotonic()
            eventually(lambda: users.ledger.answers[201] > 0)
            told = users.ledger.answers[201]
            eventually(lambda: users.ledger.answers[201] > told + 50, 5)
            seconds = time.monotonic() - promoted
            users.stop()
            assert refused > 0
            assert users.ledger.answers[200] > 0
            assert old.sql(ours) == [(0,)]
            settle(
                "the primary turns read-only; a standby takes over, and is promoted after 3 s",
                users.ledger,
                url=new.url,
                seconds_from_promotion_to_50_writes=seconds,
                connections_left_on_the_old_primary=0,
            )
        assert service.stops() == 0
