"""Two workers behind one port, and one of them is killed."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from tests.faults.conftest import Serve
from tests.faults.load import load
from tests.support.processes import Service, until

Settle = Callable[..., dict[str, Any]]
CLIENTS = 400
CONVERGED = 0.6  # the largest share of all connections that one worker may hold


def held(service: Service) -> dict[int, int]:
    """Return how many client connections each worker has, by pid."""
    counts = {}
    for worker in psutil.Process(service.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            counts[worker.pid] = sum(
                each.status == psutil.CONN_ESTABLISHED and each.laddr.port == service.port
                for each in worker.net_connections("tcp4")
            )
    return counts


def test_clients_spread_over_the_workers_again_after_one_was_killed(
    serve: Serve, settle: Settle
) -> None:
    with serve(web_concurrency=2) as service:
        service.starts()
        with load(service.port, CLIENTS, pause=0.5, writes=0.2) as users:
            time.sleep(3)
            before = held(service)
            os.kill(min(before), signal.SIGKILL)
            until(lambda: min(before) not in held(service), "the worker to end")
            until(lambda: sum(held(service).values()) >= CLIENTS, "the clients to return")
            until(lambda: len(held(service)) == 2, "another worker to start")
            began = time.monotonic()
            after, broken = held(service), users.ledger.broken.total()
            until(
                lambda: max(held(service).values()) < CONVERGED * CLIENTS,
                "the connections to be balanced",
                30,
            )
            seconds = time.monotonic() - began
            time.sleep(2)
            assert max(held(service).values()) < CONVERGED * CLIENTS
            assert users.ledger.broken.total() == broken
            converged = held(service)
        assert service.stops() == 0
    settle(
        "one of two workers is killed while 400 clients are connected",
        users.ledger,
        cut=True,
        before=sorted(before.values()),
        after=sorted(after.values()),
        converged=sorted(converged.values()),
        seconds=seconds,
    )
