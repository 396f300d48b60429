"""CPU time (seconds) and memory (MB of 10⁶ bytes) of a process tree, from /proc."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from `state` on, or None if the process has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root: int) -> dict[int, list[str]]:
    """Return the stat fields of `root` and its descendants, by process id."""
    every = {int(entry.name): _stat(int(entry.name)) for entry in PROC.glob("[0-9]*")}
    alive = {pid: fields for pid, fields in every.items() if fields}
    found: dict[int, list[str]] = {}
    ahead = [root]
    while ahead:
        pid = ahead.pop()
        if pid in alive:
            found[pid] = alive[pid]
            ahead += [child for child, fields in alive.items() if int(fields[1]) == pid]
    return found


def cpu_seconds(root: int) -> float:
    """Return the tree's CPU time, user and system, including children that have ended."""
    return sum(sum(map(int, fields[11:15])) for fields in tree(root).values()) / TICKS


def busy_seconds() -> float:
    """Return the machine's CPU time, with steal, without idle and I/O wait."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(
        int, (PROC / "stat").read_text().split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / TICKS


@dataclass
class Memory:
    """Memory of a tree: resident, and proportional (a page shared by n processes counts 1/n).

    `pss_mb` counts only processes of the tree. The kernel's own figure also divides a page by the
    programs outside of the tree that map it, such as the Python of this program.
    """

    rss_mb: float = 0
    pss_mb: float = 0
    kernel_pss_mb: float = 0
    processes: int = 0

    def raise_to(self, other: "Memory") -> None:
        """Keep the larger of each figure."""
        for name, value in vars(other).items():
            setattr(self, name, max(getattr(self, name), value))


def memory(root: int) -> Memory:
    """Return the current memory of the tree."""
    sizes = []
    for pid in tree(root):
        with suppress(OSError):  # the process has ended
            sizes.append(_sizes(pid))
    rss, pss, pss_file = (sum(size[name] for size in sizes) for name in ("Rss", "Pss", "Pss_File"))
    files = max([pss_file, *(size["RssFile"] for size in sizes)])
    return Memory(rss, pss - pss_file + files, pss, len(sizes))


def _sizes(pid: int) -> dict[str, float]:
    """Return the sizes of one process in MB, by the kernel's names."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    lines += (PROC / str(pid) / "status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) * 1024 / 1e6 for name, size, _ in fields}


class PeakMemory:
    """Sample the memory of a tree every 0.2 s in a context. `peak` is the maximum."""

    def __init__(self, root: int) -> None:
        self.peak = Memory()
        self._root = root
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while True:
            self.peak.raise_to(memory(self._root))
            if self._done.wait(0.2):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_up_on_sigterm() -> None:
    """Turn the first SIGTERM into SystemExit. Ignore the others: a group often receives two."""

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    signal.signal(signal.SIGTERM, leave)


def stop(process: subprocess.Popen[bytes], kind: signal.Signals = signal.SIGTERM) -> None:
    """End a process that leads its own group. After 10 s, kill what is left of the group."""
    process.send_signal(kind)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
