"""Keep the memory of the process small: it may use at most 100 MB."""

import asyncio
import ctypes
import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A mapping of a file in /proc/self/smaps (proc(5)) that nothing can write to, and that has no pages
# of its own. The data that the dynamic linker has relocated has such pages, and must stay.
UNCHANGED = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p .* /.*\n(?:[A-Z]\w+: .*\n)*?Anonymous: +0 kB$", re.MULTILINE
)
MADV_DONTNEED = 4
M_MMAP_THRESHOLD = -3  # mallopt(3)
# Bytes. Unless this is set, glibc raises it to the size of a buffer that is freed, and then keeps
# the memory of buffers of that size.
MMAP_THRESHOLD = 64 * 1024
INTERVAL = 1.0  # seconds between two checks of the memory of the process
MAX_PAUSE = 64.0  # seconds, at most, between two attempts to release memory
GROWN = 6_000_000  # bytes by which the process must have grown for an attempt
# Bytes of a list that are generated at once. The client reads them before the next part is made.
RESPONSE_PART = 128 * 1024


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
    """Release about 22 MB of memory that imports used and that serving does not need.

    Code and constants that were used once stay in memory until the kernel evicts them. If they are
    used again, they are read from their file (madvise(2), MADV_DONTNEED). From now on, buffers of
    MMAP_THRESHOLD bytes or more return to the system as soon as they are freed.
    """
    gc.collect()
    gc.freeze()  # these objects stay, so later collections can skip them
    with suppress(OSError, AttributeError):  # not Linux, or not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.malloc_trim(0)
        for start, end in UNCHANGED.findall(Path("/proc/self/smaps").read_text()):
            first, last = int(start, 16), int(end, 16)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)


async def give_memory_back() -> None:
    """Return unused memory to the system, until this task is cancelled.

    glibc keeps freed memory, unless it is at the end of the heap (mallopt(3), M_TRIM_THRESHOLD).
    When the process has grown by more than GROWN and has then stopped growing for a second, this
    function releases what is free.
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
                # Memory in use can't be released yet, so the pauses between attempts get longer.
                waited, pause = 0.0, min(pause * 2, MAX_PAUSE)
                gc.collect()
                malloc_trim(0)
                now = resident()
            least, last = min(least, now), now


def resident() -> int:
    """Return the resident memory of the process in bytes. Raises OSError if there is no /proc."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
