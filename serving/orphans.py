"""Reap orphans as PID 1: the first process of a container inherits the orphans of all others.

No other process waits for them, so each would remain as a zombie (pid_namespaces(7)). Several
workers have a parent that waits for every child (workers.py). This module is for a single process
that serves as PID 1.
"""

import os
from contextlib import suppress


class Orphans:
    """A reaper. It reaps a zombie that `reap` has found in two calls in a row.

    The delay leaves this process's own children to uvloop, which waits for them before the next
    tick of the server.
    """

    def __init__(self) -> None:
        self._is_first = os.getpid() == 1 and hasattr(os, "waitid")
        self._seen: int | None = None

    def reap(self) -> None:
        """Reap at most one zombie, so that a call takes a bounded time."""
        if not self._is_first:
            return
        zombie = self._zombie()
        if zombie is not None and zombie == self._seen:
            with suppress(ChildProcessError):
                os.waitpid(zombie, os.WNOHANG)
            zombie = self._zombie()
        self._seen = zombie

    def _zombie(self) -> int | None:
        """Return the pid of a child that has ended, without reaping it."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        return found.si_pid if found else None
