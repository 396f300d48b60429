"""End the process although threads are busy."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT = 1.0  # seconds in which threads that are not busy end


@contextmanager
def exit_without_threads() -> Iterator[None]:
    """End the process when `serving.server.run` has stopped, even if a thread is busy.

    Python would wait for it. A thread can't be cancelled, and one runs each synchronous endpoint
    and background task of a developer.
    """
    try:
        yield
    except SystemExit as end:
        if not end.code and _is_busy():
            logging.shutdown()  # write the last lines, which os._exit does not do
            os._exit(0)
        raise


def _is_busy() -> bool:
    """Return whether a thread for which Python would wait is still running after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    others = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.current_thread()
    ]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    return any(thread.is_alive() for thread in others)
