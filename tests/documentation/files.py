"""The text files of the repository, without those that Git ignores."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from config import ROOT

LEFT_OUT = {"node_modules", "corpus"}
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".example", ".sql", ""}


@cache
def _ignored() -> frozenset[str]:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return frozenset(line.strip("/") for line in lines) | {".git", ".npmrc"}


def repository_files() -> Iterator[tuple[Path, str]]:
    """Yield the path, relative to the root, and the text of each file, sorted by path."""
    for path in _walk(ROOT):
        if path.suffix in SUFFIXES:
            yield path.relative_to(ROOT), path.read_text()


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _ignored() | LEFT_OUT or any(map(path.match, _ignored())):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path
