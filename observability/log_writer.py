"""Write finished log lines in a thread, so that nothing waits for the reader of the log.

docs/decisions/001-log-writer.md compares this with `logging.handlers.QueueHandler`.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from threading import Condition, RLock, Thread

LIMIT = 1024 * 1024  # bytes that may wait, including those that are being written
BATCH = 64 * 1024  # bytes of one write; a pipe on Linux holds the same number
# Seconds between two writes. Waking the thread costs more than queueing a line, so under load one
# write takes many lines. A line that comes after a pause is written at once.
INTERVAL = 0.01
RETRY_INTERVAL = 1.0  # seconds after a write that failed: the reader is gone, or the disk is full
FLUSH_TIMEOUT = 1.0  # seconds


class LogWriter:
    """A queue of lines, and the thread that writes them to the file descriptor `fd`.

    When the queue is full, lines are lost until it is empty. Then `report` makes a line with the
    number of lost lines.
    """

    def __init__(self, fd: int, report: Callable[[int], bytes]) -> None:
        self._fd = fd
        self._report = report
        self._batch = BATCH
        self._start_over()
        os.register_at_fork(after_in_parent=self._share, after_in_child=self._start_over_in_child)

    def _start_over(self) -> None:
        # Reentrant, because a destructor or a signal handler may log while a line is being queued.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._lines: deque[bytes] = deque()
        self._size = 0  # bytes that are not written yet
        self._lost = 0  # lines that are not reported yet
        self._has_thread = False
        self._is_idle = False  # the thread waits for lines
        self._is_failing = False  # the last write failed
        self._is_mid_line = False  # the last write left a line incomplete

    def _start_over_in_child(self) -> None:
        """Discard the parent's thread and its lines, which the parent writes."""
        self._start_over()
        self._share()

    def _share(self) -> None:
        """Limit writes to PIPE_BUF bytes, which stay together in a shared pipe."""
        self._batch = select.PIPE_BUF

    def write(self, line: bytes) -> None:
        """Queue `line`, which ends with a newline, or count it as lost. Never blocks."""
        size = len(line)
        with self._lock:
            if self._lost or (self._size and self._size + size > LIMIT):
                self._lost += 1
                return
            self._size += size
            self._lines.append(line)
            if self._is_idle:
                self._is_idle = False
                self._changed.notify_all()
            elif not self._has_thread:
                self._start_thread()

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait at most `timeout` seconds until every line is written."""
        with self._lock:
            self._changed.wait_for(self._is_done, timeout)

    def _is_done(self) -> bool:
        return not self._size and (not self._lost or self._is_failing)

    def _start_thread(self) -> None:
        self._has_thread = True
        try:
            Thread(target=self._run, name="log writer", daemon=True).start()
        except RuntimeError:  # no thread can be started now: the next line tries again
            self._has_thread = False

    def _run(self) -> None:
        while True:
            self._write_lines(self._next_lines())
            self._report_lost_lines()
            if self._is_failing:
                time.sleep(RETRY_INTERVAL)
            elif not self._lines:
                time.sleep(INTERVAL)

    def _next_lines(self) -> list[bytes]:
        """Wait for work. Return the next batch of lines, which is empty if only a report is due."""
        lines: list[bytes] = []
        size = 0
        with self._lock:
            while not self._lines and not self._lost:
                self._is_idle = True
                self._changed.wait()
            while self._lines and (not lines or size + len(self._lines[0]) <= self._batch):
                lines.append(self._lines.popleft())
                size += len(lines[-1])
        return lines

    def _write_lines(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        written = self._send(data)
        with self._lock:
            self._size -= len(data)
            self._lost += sum(end > written for end in accumulate(map(len, lines)))
            self._changed.notify_all()

    def _report_lost_lines(self) -> None:
        """Write how many lines are lost, after the lines that were queued before them."""
        with self._lock:
            count = 0 if self._lines else self._lost
        if count and self._send(self._report(count)):
            with self._lock:
                self._lost -= count
                self._changed.notify_all()

    def _send(self, data: bytes) -> int:
        """Write `data`, however long that takes. Return how many of its bytes could be written."""
        start = b"\n" if self._is_mid_line else b""
        rest = memoryview(start + data)
        self._is_failing = False
        while rest and not self._is_failing:
            try:
                rest = rest[os.write(self._fd, rest[: self._batch]) :]
            except BlockingIOError:  # another process made the descriptor non-blocking
                select.select([], [self._fd], [])
            except OSError:
                self._is_failing = True
        written = len(start) + len(data) - len(rest)
        if written:
            self._is_mid_line = (start + data)[written - 1] != ord("\n")
        return max(written - len(start), 0)
