"""End the process although threads are busy."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT = 1.0  # seconds in which threads may end


@contextmanager
def exit_without_threads() -> Iterator[None]:
    """Let the process end, at the end of the block, although a thread is still running.

    Python would wait for the thread, which can't be cancelled. Each synchronous endpoint and
    background task of a developer runs in a thread.
    """
    code = 0
    try:
        yield
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException:
        code = 1
        raise
    finally:
        timer = threading.Timer(TIMEOUT, _exit, [code])
        timer.daemon = True
        timer.start()


def _exit(code: int) -> None:
    """End the process if Python still waits for threads, and not for functions of `atexit`."""
    main = threading.main_thread()
    if any(not thread.daemon and thread is not main for thread in threading.enumerate()):
        logging.shutdown()  # write the last lines, which os._exit does not do
        os._exit(code)
