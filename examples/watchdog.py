"""Stop the processes of the example if the command is killed before it can do so.

The input has the id of each process that starts, and the negative id once that process has ended.
When the command ends in any way, the kernel closes the pipe, and the input ends.
"""

import os
import signal
import sys
import time
from contextlib import suppress

STOP_TIMEOUT = 12  # seconds, as in processes.py


def main() -> None:
    """Wait for the command to end, then stop the processes that still run."""
    pids: list[int] = []
    for line in sys.stdin:
        pid = int(line)
        pids.append(pid) if pid > 0 else pids.remove(-pid)
    send(pids[::-1], signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if exists(pid)]
        time.sleep(0.1)
    send([-pid for pid in pids], signal.SIGKILL)


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to processes, or to the groups whose numbers are negative."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def exists(pid: int) -> bool:
    """Return whether the process, or another one of its group, still runs."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
