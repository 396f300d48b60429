"""WEB_CONCURRENCY: several processes behind one port."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.processes import Service, postmaster, started, until

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with started(tmp_path, web_concurrency=2) as service:
        yield service.starts()


def workers(service: Service) -> set[int]:
    """The pids of the workers that serve by now."""
    children = psutil.Process(service.process.pid).children()
    names = [(child.pid, child.cmdline()) for child in children]
    return {pid for pid, command in names if "main.py" in command}


def answers(service: Service) -> bool:
    with service.client() as client:
        try:
            return client.get("/health").status_code == 200
        except httpx.TransportError:
            return False


def test_two_workers_serve_one_port_and_one_database(service: Service) -> None:
    until(lambda: answers(service), "an answer")
    assert len(workers(service)) == 2
    for number in range(20):
        with service.client() as client:  # each on a connection of its own
            assert client.post("/api/alice/tasks", json={"title": str(number)}).status_code == 201
    with service.client() as client:
        assert client.get("/api/alice/tasks").json()["count"] == 20


def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    until(lambda: answers(service), "an answer")
    victim = min(workers(service))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(workers(service) - {victim}) == 2, "another worker")
    until(lambda: answers(service), "an answer")
    assert [line for line in service.lines if f"Worker {victim} ended" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_stop_ends_all_of_them_and_the_database(service: Service, number: signal.Signals) -> None:
    until(lambda: answers(service), "an answer")
    before = workers(service)
    assert service.stops(number) == 0
    assert not [pid for pid in before if psutil.pid_exists(pid)]
    assert postmaster(service.postgres) is None


def test_workers_do_not_outlive_a_parent_that_is_killed(service: Service) -> None:
    until(lambda: answers(service), "an answer")
    before = workers(service)
    service.process.kill()
    service.process.wait()
    until(lambda: not [pid for pid in before if psutil.pid_exists(pid)], "the workers to end")
