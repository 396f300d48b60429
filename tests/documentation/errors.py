"""The classes of errors of the service, wherever they are."""

from collections.abc import Iterator

import database  # noqa: F401  (it has an error of its own)
from errors import APIError


def error_classes(parent: type[APIError]) -> Iterator[type[APIError]]:
    """Return the subclasses of `parent` that have a status of their own."""
    for each in parent.__subclasses__():
        if isinstance(getattr(each, "status", None), int):
            yield each
            yield from error_classes(each)
