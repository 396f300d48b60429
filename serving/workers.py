"""Several processes behind one port.

The parent imports the application and forks, so that the workers share its memory pages. The parent
also runs the development database and the migrations, and replaces a worker that has died.
uvicorn's own workers are spawned and share no memory, so two of them would not fit in 100 MB.
"""

import ctypes
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from observability.logs import logger
from serving.balance import Balance, Share
from serving.stopping import STOP_SIGNALS

RESTART_DELAY = 1.0  # seconds, so that a worker that can't start does not use up the CPU
PR_SET_PDEATHSIG = 1  # prctl(2)


class Workers:
    """`count` processes that run `serve`, and the parent that watches them."""

    def __init__(
        self, serve: Callable[[socket.socket, Share], None], count: int, grace: float
    ) -> None:
        self._serve = serve
        self._grace = grace  # seconds to finish requests in flight
        self._pids: dict[int, Share] = {}
        self._free = Balance(count).shares  # the places of workers that are not running

    def run(self, listener: socket.socket) -> None:
        """Keep the workers running until a signal raises SystemExit here, then stop them."""
        gc.freeze()  # a garbage collection would write to every page, and so copy it
        try:
            while True:
                self._start_missing(listener)
                pid, status = os.wait()
                if pid not in self._pids:  # another child of this process
                    continue
                share = self._pids.pop(pid)
                share.leave()
                self._free.append(share)
                code = os.waitstatus_to_exitcode(status)  # negative for a signal
                logger.error("Worker %d ended with code %d; starting another", pid, code)
                time.sleep(RESTART_DELAY)
        finally:
            listener.close()
            self._stop()

    def _start_missing(self, listener: socket.socket) -> None:
        """Start a worker in each free place. Workers inherit that stop signals are held."""
        with STOP_SIGNALS.held():
            while self._free:
                share = self._free.pop()
                self._pids[self._fork(listener, share)] = share

    def _fork(self, listener: socket.socket, share: Share) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._work(listener, share, parent)
        return pid

    def _work(self, listener: socket.socket, share: Share, parent: int) -> NoReturn:
        code = 1
        try:
            with suppress(OSError, AttributeError):  # Linux only: end when the parent is killed
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == parent:
                self._serve(listener, share)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except Exception as error:
            logger.critical("Worker %d failed", os.getpid(), exc_info=error)
        finally:
            logging.shutdown()  # write the last lines, which os._exit does not do
            os._exit(code)  # a worker must not stop what the parent owns, such as its database

    def _stop(self) -> None:
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._pids and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.05)
        for pid in self._pids:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _reap(self) -> None:
        for pid in tuple(self._pids):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            self._pids.pop(pid)
