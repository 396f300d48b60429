"""A mutation, and the functions that find its text and its tests."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

# All other files are source. A mutation names no file, so files can be moved and split.
NOT_SOURCE = {"tests", "benchmarks", "node_modules", "__pycache__"}


class Mutation(NamedTuple):
    """A fault: `old` in the source becomes `new`, and one of `tests` must fail.

    A test is the name of a function, optionally followed by the id of one case in brackets.
    """

    name: str
    why: str
    old: str
    new: str
    tests: tuple[str, ...]


class NotApplicable(Exception):
    """The mutation's text does not occur exactly once, or one of its tests does not exist."""


@lru_cache(maxsize=4)
def texts(root: Path) -> dict[Path, str]:
    """Return the Python files below `root`, without hidden folders, and their texts."""
    found: dict[Path, str] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(folder, name) for name in names if name.endswith(".py")]
        found |= {path.relative_to(root): path.read_text() for path in paths}
    return found


def mutated(mutation: Mutation, root: Path) -> tuple[Path, str]:
    """Return the file below `root` that contains the mutation's text, and its mutated content.

    Raises NotApplicable unless the text occurs exactly once.
    """
    found = []
    for path, text in texts(root).items():
        if NOT_SOURCE.isdisjoint(path.parts):
            found += [(path, text)] * text.count(mutation.old)
    if len(found) != 1:
        raise NotApplicable(
            f"{mutation.name}: its text must occur exactly once in the source, but occurs"
            f" {len(found)} times: {mutation.old.strip().splitlines()[0]}"
        )
    [(path, text)] = found
    return root / path, text.replace(mutation.old, mutation.new)


def arguments(mutation: Mutation, root: Path) -> list[str]:
    """Return the arguments for pytest that select the tests of `mutation`.

    Raises NotApplicable unless each test is defined exactly once.
    """
    return [_argument(test, mutation, root) for test in mutation.tests]


def _argument(test: str, mutation: Mutation, root: Path) -> str:
    name = test.partition("[")[0]
    definition = re.compile(rf"^def {name}\(", re.M)
    found = [
        path
        for path, text in texts(root).items()
        if path.parts[0] == "tests" and definition.search(text)
    ]
    if len(found) != 1:
        raise NotApplicable(
            f"{mutation.name}: its test {name} must be defined exactly once, but is defined"
            f" {len(found)} times."
        )
    return f"{found[0]}::{test}"
