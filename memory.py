"""Keep the process free of what it does not need: it may use at most 100 MB."""

import asyncio
import ctypes
import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CODE_FROM_FILES = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-xp .* /", re.MULTILINE)  # proc(5)
MADV_DONTNEED = 4
M_MMAP_THRESHOLD = -3  # mallopt(3)
MMAP_THRESHOLD = 64 * 1024  # bytes; glibc would raise it to what was freed, and keep such memory
INTERVAL = 1.0  # seconds between two looks at the memory of the process
MAX_PAUSE = 64.0  # seconds between two attempts to give memory back
GROWN = 6_000_000  # bytes that are worth giving back
RESPONSE_PART = 128 * 1024  # bytes of a list that are made at once, and read before the next ones


@contextmanager
def block_imports(*packages: str) -> Iterator[None]:
    """Let imports proceed as if `packages` were not installed, unless they are already imported.

    This is for libraries that use a package if it is installed and work without it. None in
    sys.modules is the documented way to hide a package
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
    """Release the memory that imports used and serving does not need: about 15 MB.

    Program code that ran once stays in memory until the kernel evicts it. Released code is read
    from the file again when it runs again (madvise(2), MADV_DONTNEED). Buffers of MMAP_THRESHOLD or
    more go back to the system from now on as soon as they are free.
    """
    gc.collect()
    gc.freeze()  # what is here stays, so later collections need not look at it
    with suppress(OSError, AttributeError):  # not Linux, or not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.malloc_trim(0)
        for start, end in CODE_FROM_FILES.findall(Path("/proc/self/maps").read_text()):
            first, last = int(start, 16), int(end, 16)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)


async def give_memory_back() -> None:
    """Return memory to the system when it is no longer needed, as long as the task runs.

    glibc keeps what was freed, unless it is at the very end of the heap (mallopt(3),
    M_TRIM_THRESHOLD). After a second without growth this looks whether much is free.
    """
    with suppress(OSError, AttributeError):  # not Linux, or not glibc
        malloc_trim = ctypes.CDLL(None).malloc_trim
        least = last = resident()
        waited, pause = 0.0, INTERVAL
        while True:
            await asyncio.sleep(INTERVAL)
            now = resident()
            if (
                now - least <= GROWN or now > last + GROWN / 8
            ):  # little to release, or it still grows
                waited, pause = 0.0, INTERVAL
            elif (waited := waited + INTERVAL) >= pause:
                # What is in use can't be released yet, so it tries again later and later.
                waited, pause = 0.0, min(pause * 2, MAX_PAUSE)
                gc.collect()
                malloc_trim(0)
                now = resident()
            least, last = min(least, now), now


def resident() -> int:
    """Return the resident memory of the process in bytes. Raises OSError where /proc is not."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
