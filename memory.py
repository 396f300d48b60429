"""Keeps out of the process what it has no use for: 100 MB are all it may take."""

import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CODE_FROM_FILES = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-xp .* /", re.MULTILINE)  # proc(5)
MADV_DONTNEED = 4


@contextmanager
def block_imports(*packages: str) -> Iterator[None]:
    """Lets imports go on as if `packages` were not installed, unless they are imported already.

    For libraries that take a package where they find it and do without where they don't. None in
    sys.modules is the documented way to say so
    (https://docs.python.org/3/reference/import.html#the-module-cache).
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def trim_memory() -> None:
    """Gives back what importing took and serving does not need: some 15 MB.

    What of the programs' own code was run once lies in memory for as long as the kernel likes; it
    comes back from the file when it is run again (madvise(2), MADV_DONTNEED).
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # not Linux, or not glibc
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, end in CODE_FROM_FILES.findall(Path("/proc/self/maps").read_text()):
            first, last = int(start, 16), int(end, 16)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)
