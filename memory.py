"""Keep the process free of what it does not need: it may use at most 100 MB."""

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
    from the file again when it runs again (madvise(2), MADV_DONTNEED).
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # not Linux, or not glibc
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, end in CODE_FROM_FILES.findall(Path("/proc/self/maps").read_text()):
            first, last = int(start, 16), int(end, 16)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)
