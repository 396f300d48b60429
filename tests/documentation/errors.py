"""The error classes of the service, in all modules."""

from collections.abc import Iterator

import database  # noqa: F401  (it defines an error class)
from errors import APIError


def error_classes(parent: type[APIError]) -> Iterator[type[APIError]]:
    """Yield the direct and indirect subclasses of `parent` that have a status."""
    for each in parent.__subclasses__():
        if isinstance(getattr(each, "status", None), int):
            yield each
            yield from error_classes(each)
