"""The processes of the example, which start in groups of their own and stop together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

from examples import output

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERVAL = 0.1  # seconds between checks of the processes
STOP_TIMEOUT = 12  # seconds; the service takes up to 10
WATCHDOG = Path(__file__).with_name("watchdog.py")


class Processes:
    """A context manager that runs processes until a signal arrives or one of them ends.

    Each process has its own session. So the terminal sends Ctrl+C only to this process, which then
    stops the others in order.
    """

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stopping = Event()
        # The parent is `uv run`. If it is killed, no signal arrives here.
        self._parent = os.getppid()

    def __enter__(self) -> Self:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHDOG)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) ignores SIGHUP
                signal.signal(number, lambda *_: self._stopping.set())
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._watchdog.kill()
        self._watchdog.wait()

    def start(self, name: str, command: list[str], folder: Path, variables: dict[str, str]) -> None:
        """Start a process, and copy its output."""
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._running[name] = process
        self._tell_watchdog(process.pid)
        Thread(target=output.copy, args=(name, process.stdout), daemon=True).start()

    def run(self, name: str, command: list[str], folder: Path, variables: dict[str, str]) -> None:
        """Run a process to its end. Raises SystemExit if it fails."""
        self.start(name, command, folder, variables)
        process = self._running[name]
        while process.poll() is None:
            self._pause(expected=process)
        if process.returncode != 0:
            self._give_up(name, process.returncode)
        del self._running[name]
        self._tell_watchdog(-process.pid)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Return once `condition` holds. Raises SystemExit after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                sys.exit(f"{what} is not ready after {timeout:.0f} seconds.")
            self._pause()

    def wait_for_end(self) -> None:
        """Wait. Raises SystemExit with code 0 after a signal, and with 1 if a process ends."""
        while True:
            self._pause()

    @contextmanager
    def stopped_at_exit(self) -> Iterator[None]:
        """Stop the processes when the context ends, before the resources that they use."""
        try:
            yield
        finally:
            self._stop()

    def _pause(self, expected: subprocess.Popen[str] | None = None) -> None:
        """Wait a moment. Raises SystemExit if a signal arrived or another process has ended."""
        if self._stopping.wait(INTERVAL) or os.getppid() != self._parent:
            sys.exit(0)
        for name, process in self._running.items():
            if process is not expected and process.poll() is not None:
                self._give_up(name, process.returncode)

    def _give_up(self, name: str, code: int) -> None:
        output.say(f"{name} ended with code {code}. Stopping the others.")
        sys.exit(1)

    def _stop(self) -> None:
        """Stop the processes, the last one first. Then kill what is left of each group."""
        running = [*self._running.values()][::-1]
        self._running.clear()
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _tell_watchdog(self, pid: int) -> None:
        with suppress(OSError):  # it may have been killed, which does no harm
            print(pid, file=self._watchdog.stdin, flush=True)
