"""`uv run -m examples` on a fresh copy of the repository, in a terminal."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import httpx
import psutil
import pytest

from config import ROOT
from tests.container.image import uv
from tests.parts.parts import need
from tests.support.processes import PATIENCE, free_port, kill_all, postmaster, until

CTRL_C = b"\x03"
STOP_LIMIT = 25  # seconds; the command waits 12 for its processes, and then Postgres stops
# The variables that a package manager needs on a machine behind a proxy.
KEPT = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


class Command:
    """The command, running in a terminal. Its output is in `lines`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.folder = folder
        self.process = process
        self.lines: list[str] = []
        self._terminal = terminal
        self._is_open = True
        self._reader = Thread(target=self._read)
        self._reader.start()

    def starts(self) -> str:
        """Wait until everything is ready, and return the frontend's origin."""
        self.says("open http")
        return self.lines[-1].removeprefix("open ")

    def says(self, text: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None, "\n".join(self.lines)
            return any(text in line for line in self.lines)

        until(said, f"the command to say {text}", 2 * PATIENCE)

    def types(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def closes_terminal(self) -> None:
        if self._is_open:
            self._is_open = False
            self._reader.join()
            os.close(self._terminal)

    def ends(self) -> int:
        """Wait for the end and return the exit code. No process may be left, not even Postgres."""
        try:
            code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            running = [process.cmdline() for process in processes_in(self.folder)]
            pytest.fail("\n".join([*self.lines, f"still running: {running}"]))
        self.leaves_nothing(0)
        return code

    def leaves_nothing(self, patience: float) -> None:
        until(lambda: not processes_in(self.folder), "the end of all processes", patience)
        assert postmaster(self.folder / ".data/postgres") is None

    def process_of(self, *words: str) -> psutil.Process:
        """Return the process whose command line ends with `words`."""
        [found] = [
            process
            for process in processes_in(self.folder)
            if tuple(process.cmdline()[-len(words) :]) == words
        ]
        return found

    def _read(self) -> None:
        """Read until the last process closes the terminal, which raises OSError."""
        rest = ""
        with suppress(OSError):
            while self._is_open:
                if select.select([self._terminal], [], [], 0.1)[0]:
                    text = rest + os.read(self._terminal, 65536).decode(errors="replace")
                    *lines, rest = text.split("\r\n")
                    self.lines.extend(lines)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return all processes whose working directory is in `folder`, whatever their parents."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def copy_repository(to: Path) -> Path:
    """Copy the files that a new clone of the repository has, without tests and benchmarks."""
    need("uv", "Node.js")
    ignored = (ROOT / ".gitignore").read_text().replace("/", "").split()
    private = shutil.ignore_patterns(".git", "tests", "benchmarks", *ignored)
    return Path(shutil.copytree(ROOT, to, ignore=private))


@contextmanager
def started(folder: Path, *options: str, hangs_up: bool = True) -> Iterator[Command]:
    """Start the command in a copy of the repository, as a terminal does, on free ports.

    With `hangs_up=False`, the other processes get no SIGHUP when the first one ends.
    """
    terminal, theirs = os.openpty()
    chosen = [word for name in ("api", "auth", "frontend") for word in port_option(name, options)]
    process = subprocess.Popen(
        ["setsid", *["--ctty"] * hangs_up, "uv", "run", "-m", "examples", *chosen, *options],
        cwd=folder,
        env=bare_environment(folder),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    command = Command(folder, process, terminal)
    try:
        yield command
    finally:
        kill_all(processes_in(folder))
        process.wait()
        command.closes_terminal()


def port_option(name: str, given: tuple[str, ...]) -> list[str]:
    option = f"--{name}-port"
    return [] if option in given else [option, str(free_port())]


def bare_environment(folder: Path) -> dict[str, str]:
    """Return PATH, an empty HOME, and the package caches, which save downloads."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    programs = [Path(uv()).parent, Path(sys.base_prefix) / "bin", Path(node()).parent]
    cache = subprocess.check_output([uv(), "cache", "dir"], text=True).strip()
    npm = subprocess.check_output(["npm", "config", "get", "cache"], text=True).strip()
    return {
        "PATH": ":".join(map(str, [*programs, "/usr/bin", "/bin"])),
        "HOME": str(home),
        "TERM": "xterm",
        "UV_CACHE_DIR": cache,
        "npm_config_cache": npm,
        **{name: os.environ[name] for name in KEPT if name in os.environ},
    }


def node() -> str:
    found = shutil.which("node")
    assert found
    return found


def client(origin: str) -> httpx.Client:
    """Return a client that sends requests as a page at `origin` does."""
    return httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=20)
