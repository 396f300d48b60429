"""A restart behind an nginx that has one upstream with keep-alive connections."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import Serve
from tests.faults.load import balance, load
from tests.faults.servers import Postgres
from tests.http1.nginx import nginx
from tests.http1.wire import Address
from tests.support.processes import Service, free_port, until

Settle = Callable[..., dict[str, Any]]
RESTARTS = int(os.environ.get("RESTARTS", "1"))  # set it higher for a longer run
ENOUGH = 100  # answers between two restarts


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def front(tmp_path: Path, port: int) -> Iterator[int]:
    """The port of an nginx in front of the service."""
    with nginx(tmp_path, Address("127.0.0.1", port)) as address:
        yield address.port


def listens(service: Service) -> bool:
    """Return whether this process listens, not only another process on the same port."""
    sockets = psutil.Process(service.process.pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN for each in sockets)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_with_an_overlap_loses_no_request(
    serve: Serve, settle: Settle, front: int, port: int, workers: int
) -> None:
    def release() -> Service:
        service = running.enter_context(
            serve(port=port, reuse_port=True, web_concurrency=workers)
        ).starts()
        until(lambda: listens(service), "the release to listen")
        return service

    seconds = []
    with ExitStack() as running:
        old = release()
        with load(front, writes=0.5) as users:
            for _ in range(RESTARTS):
                new = release()
                before = users.ledger.answers.total()
                time.sleep(0.5)
                began = time.monotonic()
                assert old.stops() == 0
                seconds.append(time.monotonic() - began)
                assert users.ledger.answers.total() > before + ENOUGH
                old = new
            time.sleep(0.5)
        assert old.stops() == 0
    assert set(users.ledger.answers) == {200, 201}
    settle(
        f"restarts behind nginx with an overlap: {RESTARTS}; workers: {workers}",
        users.ledger,
        seconds_to_stop=max(seconds),
    )


def test_without_an_overlap_nginx_returns_502_and_no_write_is_unreported(
    serve: Serve, database: Postgres, front: int, port: int
) -> None:
    with serve(port=port) as old:
        old.starts()
        with load(front, writes=0.5) as users:
            time.sleep(1)
            assert old.stops() == 0
            with serve(port=port) as new:
                new.starts()
                time.sleep(1)
                users.stop()
                assert new.stops() == 0
    assert set(users.ledger.answers) == {200, 201, 502}
    counted = balance(users.ledger, database.url)
    assert counted["acknowledged"] == counted["found"] > 0
    assert (counted["duplicated"], counted["created without a 201"]) == (0, 0)
