"""What a tree of processes costs, from /proc: CPU time in seconds, memory in MB of 10⁶ bytes."""

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
    """The fields of /proc/PID/stat from `state` on, or None when the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root: int) -> dict[int, list[str]]:
    """The stat fields of `root` and of all that descend from it, by process id."""
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
    """CPU time, user and system, that the tree has used, children that ended included."""
    return sum(sum(map(int, fields[11:15])) for fields in tree(root).values()) / TICKS


def busy_seconds() -> float:
    """CPU time that the whole machine has used, steal included, idle and I/O wait left out."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(
        int, (PROC / "stat").read_text().split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / TICKS


@dataclass
class Memory:
    """Memory of a tree: resident, and proportional (a page shared by n processes counts 1/n).

    Proportional means within the tree. The kernel also shares out the pages of libraries that
    programs outside it have mapped, such as this one's Python; `pss_mb` does not.
    """

    rss_mb: float = 0
    pss_mb: float = 0
    kernel_pss_mb: float = 0
    processes: int = 0

    def raise_to(self, other: "Memory") -> None:
        """Keeps the larger of each figure."""
        for name, value in vars(other).items():
            setattr(self, name, max(getattr(self, name), value))


def memory(root: int) -> Memory:
    """The memory of the tree now."""
    sizes = []
    for pid in tree(root):
        with suppress(OSError):  # it ended meanwhile
            sizes.append(_sizes(pid))
    rss, pss, pss_file = (sum(size[name] for size in sizes) for name in ("Rss", "Pss", "Pss_File"))
    files = max([pss_file, *(size["RssFile"] for size in sizes)])
    return Memory(rss, pss - pss_file + files, pss, len(sizes))


def _sizes(pid: int) -> dict[str, float]:
    """Sizes of one process, in MB, under the kernel's names."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    lines += (PROC / str(pid) / "status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) * 1024 / 1e6 for name, size, _ in fields}


class PeakMemory:
    """Samples the memory of a tree every 0.2 s while it is entered; `peak` is what it found."""

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
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_up_on_sigterm() -> None:
    """SIGTERM becomes SystemExit, once: one who sends it to a group often sends it twice."""

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    signal.signal(signal.SIGTERM, leave)


def stop(process: subprocess.Popen[bytes], kind: signal.Signals = signal.SIGTERM) -> None:
    """Ends a process that leads its own group; after 10 s, by force, whatever is left of both."""
    process.send_signal(kind)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
