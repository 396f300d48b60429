"""A log that nobody reads: lines are lost, but requests and shutdown go on."""

import logging
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest
from sqlalchemy.engine import URL

from config import ROOT
from tests.support.processes import STOP_LIMIT, environment, free_port
from tests.support.serving import SECRET

LONG_PATH = "/" + "x" * 4000  # logged in full, so a few hundred lines fill the queue
MANY = 400  # requests; their 1.6 MB of lines are more than the pipe and the queue hold
ACCESS = re.compile(rb"\[404 in [\d.]+ ms request_id=(\d+)\]\n")
LOST = re.compile(rb"\[WARNING\] \[-\] \[-\] \[(\d+) log lines were lost because nothing read the ")


@pytest.fixture(autouse=True)
def _quiet_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # httpx would log every long path


class Service:
    """A service whose stdout is a pipe that only the test reads."""

    def __init__(self, process: subprocess.Popen[bytes], client: httpx.Client) -> None:
        self.process = process
        self.client = client
        assert process.stdout is not None
        self._stdout: IO[bytes] = process.stdout
        self.output = b""

    def read_until(self, text: bytes) -> None:
        """Read the log until it contains `text`."""
        while text not in self.output:
            readable, _, _ = select.select([self._stdout], [], [], STOP_LIMIT)
            assert readable, self.output[-2000:].decode()
            part = os.read(self._stdout.fileno(), 65536)
            assert part, self.output[-2000:].decode()
            self.output += part

    def requests(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.client.get(LONG_PATH, headers={"X-Request-ID": str(number)})

    def is_alive(self) -> bool:
        with suppress(httpx.TransportError):
            return self.client.get("/health/live").status_code == 200
        return False

    def close_log(self) -> None:
        self._stdout.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT)


@contextmanager
def piped(postgres: URL, folder: Path, **settings: object) -> Iterator[Service]:
    """Run a service with stdout and stderr in one pipe, and read the log of its start."""
    port = free_port()
    defaults = {
        "database_url": postgres.render_as_string(hide_password=False),
        "environment": "production",
        "host": "127.0.0.1",
        "port": port,
        "data_dir": folder,
        "better_auth_secret": SECRET,
        "access_log": "true",
        "slow_request_ms": 0,
    }
    with (
        subprocess.Popen(
            [sys.executable, "main.py"],
            cwd=ROOT,
            env=environment(**{**defaults, **settings}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client,
    ):
        service = Service(process, client)
        try:
            service.read_until(b"Application startup complete.")
            yield service
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stalled_reader_blocks_neither_requests_nor_shutdown(
    postgres: URL, tmp_path: Path, workers: int
) -> None:
    with piped(postgres, tmp_path, web_concurrency=workers) as service:
        service.requests(0, MANY * workers)
        assert service.is_alive()
        assert service.stop() == 0


@pytest.mark.slow
def test_the_number_of_lost_lines_is_logged_once_the_log_is_read_again(
    postgres: URL, tmp_path: Path
) -> None:
    with piped(postgres, tmp_path) as service:
        service.requests(0, MANY)
        service.read_until(b"log lines were lost")
        service.requests(MANY, MANY + 1)
        service.read_until(b"request_id=%d]\n" % MANY)
        numbers = [int(number) for number in ACCESS.findall(service.output)]
        [lost] = [int(number) for number in LOST.findall(service.output)]
        assert lost > 0
        assert len(numbers) + lost == MANY + 1
        # The first lines are kept in order, and the number of lost lines is logged in their place.
        assert numbers == [*range(MANY - lost), MANY]
        end_of_kept = service.output.index(b"request_id=%d]" % (MANY - lost - 1))
        place = service.output.index(b"lines were lost")
        assert end_of_kept < place < service.output.index(b"request_id=%d]" % MANY)
        assert service.stop() == 0


@pytest.mark.slow
def test_a_closed_log_costs_no_cpu_time(postgres: URL, tmp_path: Path) -> None:
    with piped(postgres, tmp_path) as service:
        service.close_log()
        service.requests(0, 50)
        assert service.is_alive()
        process = psutil.Process(service.process.pid)
        before = sum(process.cpu_times())
        time.sleep(1)
        assert sum(process.cpu_times()) - before < 0.1, "it keeps trying to write"
        service.requests(50, 60)
        assert service.stop() == 0
