"""What a mutation is, and where its text and its tests are."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

# Everything else is source; a mutation names no file, so that files can be moved and split.
NOT_SOURCE = {"tests", "benchmarks", "node_modules", "__pycache__"}


class Mutation(NamedTuple):
    """A fault: `old` in the source becomes `new`, and one of `tests` must fail.

    A test is the name of a function, perhaps with the id of one of its cases in brackets.
    """

    name: str
    why: str
    old: str
    new: str
    tests: tuple[str, ...]


class NotApplicable(Exception):
    """The mutation does not fit the source, or a test of it is not there."""


@lru_cache(maxsize=4)
def texts(root: Path) -> dict[Path, str]:
    """Return the Python files below `root` that are not hidden, with their texts."""
    found: dict[Path, str] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(folder, name) for name in names if name.endswith(".py")]
        found |= {path.relative_to(root): path.read_text() for path in paths}
    return found


def mutated(mutation: Mutation, root: Path) -> tuple[Path, str]:
    """Return the file of the project in `root` that has the text, and what becomes of it.

    Raises NotApplicable unless the text is there exactly once.
    """
    found = []
    for path, text in texts(root).items():
        if NOT_SOURCE.isdisjoint(path.parts):
            found += [(path, text)] * text.count(mutation.old)
    if len(found) != 1:
        raise NotApplicable(
            f"{mutation.name}: its text must be in the source exactly once, and is there"
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
            f"{mutation.name}: its test {name} must be defined exactly once, and is {len(found)}"
            " times."
        )
    return f"{found[0]}::{test}"
