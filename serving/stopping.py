"""The signals that ask the service to stop.

The handler of a signal runs between any two instructions, and an exception that it raises is not
always passed on: Python ignores it in a callback of `os.fork`, and an event loop that is half made
can't be closed. So the exception is raised later if it arrives while such code runs.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Signals that end the process with SystemExit(0). uvicorn handles them while it serves."""

    def __init__(self) -> None:
        self.requested = False
        self._is_held = False

    def handle(self) -> None:
        """Handle the signals from now on. A requested stop is not a failure."""
        for number in STOPPING:
            signal.signal(number, self._receive)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup(1) ignores it
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise SystemExit only at the end, if a signal arrives meanwhile or has arrived before."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self.requested:
            self._exit()

    def _receive(self, *_: object) -> None:
        self.requested = True
        if not self._is_held:
            self._exit()

    def _exit(self) -> None:
        """Exit. A second signal, such as the one that `uv` passes on, must not interrupt that."""
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        self.requested = False  # so that a server can run in this process again, as in tests
        sys.exit(0)


STOP_SIGNALS = StopSignals()  # one for each process, as for the signals themselves
