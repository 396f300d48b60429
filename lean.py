"""Keeps out of the process what it has no use for: 100 MB are all it may take."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
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
