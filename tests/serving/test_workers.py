"""WEB_CONCURRENCY: several processes behind one port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from config import ROOT
from tests.support.processes import Service, postmaster, started, until

# Workers that send their pid to each client. With the argument "stubborn" they ignore SIGTERM.
PROGRAM = """
import os, signal, socket, sys
from serving.workers import Workers

def serve(listener, share):
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(str(os.getpid()).encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
Workers(serve, count=2, grace=0.5).run(listener)
"""


class Program:
    """PROGRAM in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def answers(self) -> int:
        """Connect, and return the pid of the worker that accepts the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            return int(connection.recv(100))

    @property
    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def stops(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    arguments = getattr(request, "param", ())
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def test_every_worker_serves_the_listener(program: Program) -> None:
    assert program.answers() in program.workers
    until(lambda: len(program.workers) == 2, "two workers to start")
    assert program.stops() == 0


def test_a_killed_worker_is_replaced_while_the_other_serves(program: Program) -> None:
    victim = program.answers()
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in program.workers, "the victim to end")  # until then it may accept
    assert program.answers() != victim
    until(lambda: len(program.workers - {victim}) == 2, "another worker to start")
    assert program.stops() == 0


@pytest.mark.parametrize("program", [["stubborn"]], indirect=True)
def test_a_worker_that_does_not_stop_in_time_is_killed(program: Program) -> None:
    program.answers()
    until(lambda: len(program.workers) == 2, "two workers to start")
    workers = program.workers
    assert program.stops() == 0
    assert not [pid for pid in workers if psutil.pid_exists(pid)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with started(tmp_path, web_concurrency=2) as service:
        yield service.starts()


def workers(service: Service) -> set[int]:
    """Return the pids of the workers that have started."""
    found = set()
    for child in psutil.Process(service.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # the worker has just ended
            if "main.py" in child.cmdline():
                found.add(child.pid)
    return found


def answers(service: Service) -> bool:
    with service.client() as client:
        try:
            return client.get("/health").status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.slow
def test_two_workers_serve_one_port_and_one_database(service: Service) -> None:
    until(lambda: answers(service), "a response")
    assert len(workers(service)) == 2
    for number in range(20):
        with service.client() as client:  # a new connection for each request
            assert client.post("/api/alice/tasks", json={"title": str(number)}).status_code == 201
    with service.client() as client:
        assert client.get("/api/alice/tasks").json()["count"] == 20


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    until(lambda: answers(service), "a response")
    victim = min(workers(service))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(workers(service) - {victim}) == 2, "another worker to start")
    until(lambda: answers(service), "a response")
    assert [line for line in service.lines if f"Worker {victim} ended" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name
)
def test_a_shutdown_ends_all_workers_and_the_database(
    service: Service, number: signal.Signals
) -> None:
    until(lambda: answers(service), "a response")
    before = workers(service)
    assert service.stops(number) == 0
    assert not [pid for pid in before if psutil.pid_exists(pid)]
    assert postmaster(service.postgres) is None


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(service: Service) -> None:
    until(lambda: answers(service), "a response")
    before = workers(service)
    service.process.kill()
    service.process.wait()
    until(lambda: not [pid for pid in before if psutil.pid_exists(pid)], "the workers to end")
