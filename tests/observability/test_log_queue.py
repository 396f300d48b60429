"""The queue of log lines: while the log can be written, no line is lost, repeated or torn."""

import fcntl
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ROOT
from observability.log_writer import LIMIT, LogWriter

START = """
import logging, os, resource, sys, threading, time
from observability import logs
logs.configure("info")
logs.log_uncaught_errors()
for number in range(2000):
    logs.logger.info("line %d", number)
"""


def output(program: str, *, code: int = 0) -> list[str]:
    """Run START and a program, check its exit code and empty stderr, and return its lines."""
    command = [sys.executable, "-c", START + program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.splitlines()


def numbers(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := re.search(r"\bline (\d+)\]$", line))]


@pytest.mark.parametrize("end", ["", "sys.exit()", "logging.shutdown(); os._exit(0)"])
def test_the_last_lines_are_written_however_the_process_ends(end: str) -> None:
    assert numbers(output(end)) == list(range(2000))


def test_an_uncaught_error_is_logged_after_the_lines_before_it() -> None:
    lines = output("raise ValueError('the end')", code=1)
    assert numbers(lines) == list(range(2000))
    assert lines[2000].endswith(" [CRITICAL] [-] [-] [The service failed]")
    assert lines[2001] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: the end"


def test_errors_in_threads_and_destructors_and_warnings_are_logged() -> None:
    lines = output("""
class Broken:
    def __del__(self):
        raise ValueError("in a destructor")

thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
Broken()
import warnings
warnings.warn("careful")
""")
    text = "\n".join(lines)
    assert "[ERROR] [-] [-] [The thread worker failed]\nTraceback (most recent call last):" in text
    assert "\nZeroDivisionError: division by zero\n" in text
    assert re.search(r"\[ERROR\] \[-\] \[-\] \[Exception ignored.*\]\nTraceback ", text)
    assert re.search(r"\[WARNING\] \[-\] \[-\] \[.*UserWarning: careful.*\]", text)


def test_a_forked_process_writes_its_own_lines_but_not_its_parents() -> None:
    lines = output("""
child = os.fork()
for number in range(2000, 2100):
    logs.logger.info("line %d", number + (1000 if child else 0))
if child:
    os.waitpid(child, 0)
""")
    seen = numbers(lines)
    assert sorted(seen) == [*range(2100), *range(3000, 3100)]
    for process in (range(2000, 2100), range(3000, 3100)):
        assert [number for number in seen if number in process] == list(process)


def test_the_last_lines_of_a_worker_are_written() -> None:
    """The lines almost fill the queue."""
    lines = output("""
import signal, socket
from serving.workers import Workers

def serve(listener, share):
    for number in range(2000, 4000):
        logs.logger.info("%s line %d", "x" * 400, number)
    os.kill(os.getppid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
Workers(serve, count=1, grace=5).run(socket.create_server(("127.0.0.1", 0)))
""")
    assert sorted(numbers(lines)) == list(range(4000))


def test_a_log_call_with_wrong_arguments_is_logged_as_an_error() -> None:
    lines = output("logs.logger.info('%d tasks', 'many')")
    assert re.search(
        r"\[ERROR\] \[-\] \[-\] \[The log call in <string>, line \d+, failed\]", lines[2000]
    )
    assert lines[-1] == "TypeError: %d format: a real number is required, not str"


@pytest.mark.slow
def test_a_full_disk_loses_whole_lines_and_their_count_is_logged(tmp_path: Path) -> None:
    """A limit on the file size, reached in the middle of a line, simulates a full disk."""
    program = (
        START
        + """
logging.getLogger().handlers[0].flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(1).st_size + 100, resource.RLIM_INFINITY))
for number in range(2000, 2010):
    logs.logger.info("line %d", number)
time.sleep(0.5)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
time.sleep(1.5)
logs.logger.info("line 3000")
"""
    )
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=ROOT, stdout=file, check=True, timeout=30)
    lines = log.read_text().splitlines()
    seen = numbers(lines)
    [lost] = re.findall(r"(?m)^\[[\dTZ.:-]+\] \[WARNING\] .*\[(\d+) log lines", log.read_text())
    assert seen[:2001] == list(range(2001))
    assert seen[-1] == 3000
    assert len(seen) + int(lost) == 2011


def test_a_process_without_stdout_writes_no_log() -> None:
    """Otherwise the log would go to the first file that is opened, which gets descriptor 1."""
    program = START + "print(open('/dev/null', 'w').fileno(), file=sys.stderr)"
    command = ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


class Pipe:
    """A pipe, and a LogWriter that writes to it."""

    def __init__(self) -> None:
        self.reader, self.fd = os.pipe()
        self.writer = LogWriter(self.fd, lambda count: b"lost %d\n" % count)

    def read_all(self, size: int) -> bytes:
        """Read until there are `size` bytes."""
        read = b""
        while len(read) < size:
            assert select.select([self.reader], [], [], 10)[0], "lines are missing"
            read += os.read(self.reader, 65536)
        return read


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)


def test_the_lines_of_each_thread_keep_their_order(pipe: Pipe) -> None:
    def write(name: bytes) -> None:
        for number in range(1000):
            pipe.writer.write(b"%s %04d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    lines = pipe.read_all(3000 * 7).splitlines()
    for name in (b"a", b"b", b"c"):
        assert [line for line in lines if line[:1] == name] == [
            b"%s %04d" % (name, number) for number in range(1000)
        ]


def test_a_line_that_is_larger_than_the_queue_is_written(pipe: Pipe) -> None:
    line = b"x" * (2 * LIMIT) + b"\n"
    pipe.writer.write(line)
    assert pipe.read_all(len(line)) == line


def test_a_full_non_blocking_pipe_loses_no_line(pipe: Pipe) -> None:
    flags = fcntl.fcntl(pipe.fd, fcntl.F_GETFL)
    fcntl.fcntl(pipe.fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    lines = [b"%0999d\n" % number for number in range(500)]
    for line in lines:
        pipe.writer.write(line)
    time.sleep(0.2)  # until the pipe is full
    assert pipe.read_all(500_000) == b"".join(lines)


def test_a_flush_to_a_stalled_pipe_times_out(pipe: Pipe) -> None:
    for _ in range(200):
        pipe.writer.write(b"x" * 999 + b"\n")
    pipe.writer.flush(0.05)
    pipe.read_all(200_000)
    pipe.writer.flush(10)


@pytest.mark.slow
def test_a_new_reader_reads_how_many_lines_were_lost(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = LogWriter(os.open(path, os.O_WRONLY), lambda count: b"lost %d\n" % count)
    os.close(reader)
    for _ in range(3):
        writer.write(b"unread\n")
    writer.flush(10)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    assert os.read(reader, 100) == b"lost 3\n"
    writer.flush(10)
    writer.write(b"read\n")
    assert os.read(reader, 100) == b"read\n"
