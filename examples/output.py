"""The output of the command: its own lines, and those of each process after its name."""

import os
import sys
from contextlib import suppress
from threading import Lock
from typing import IO

WIDTH = 8  # the longest name
COLORS = {"service": 36, "auth": 35, "frontend": 32}  # SGR parameters: cyan, magenta, green
_lock = Lock()


def say(line: str) -> None:
    """Write a line, or drop it if the terminal is closed."""
    with _lock, suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def copy(name: str, pipe: IO[str]) -> None:
    """Copy the lines of `pipe` to stdout, each after the name, until the pipe is closed."""
    prefix = f"{name:{WIDTH}} | "
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):  # https://no-color.org
        prefix = f"\x1b[{COLORS[name]}m{prefix}\x1b[0m"
    for line in pipe:
        if line.strip():
            say(prefix + line.rstrip("\n"))
