"""Phrases that a reader has to read twice, and the places in the repository to look for them."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.documentation.files import repository_files

# A pattern, what to write instead, and a sentence that the pattern finds.
RULES = (
    (
        r"(?:^|[.:!|] )(?:Who|Whoever)\b(?![^.]*\?)|\b(?:Whoever|whoever)\b",
        "name the subject: the client, a person, a process",
        "Who gives up on a statement leaves the server at work on it.",
    ),
    (
        r"\. What (?!is\b)[^.?|]*? (?:is|are|was|were|has|have|goes|comes|does) ",
        "name the subject: the request, the text, the part",
        "It is bounded. What waits here has none of these objects.",
    ),
    (
        r", for (?:it|they|he|she|there) ",
        "because",
        "In this order, for it forgets the statement.",
    ),
    (
        r", for (?:the|an?|each|every|its|their|this|that|no) (?:(?!that|which|who)\w+ ){1,3}?"
        r"(?:is|are|has|have|was|does|would|may|must|can)\b",
        "because",
        "In this order, for a pooler has forgotten the statement.",
    ),
    (r"\bbut for\b", "except", "All are kept, but for one."),
    (r"\banew\b", "again", "It is made anew."),
    (
        r"(?<![Tt]here )\b(?:is|are) no (?!longer\b|more\b|less\b|later\b|\w+er\b)[a-z]",
        "is not a",
        "It is no mistake.",
    ),
    (r"\bbe had\b", "is available", "The key cannot be had at the moment."),
    (
        r"\b(?:farewell|patience|hangs? up|hung up)\b",
        "say what the program does",
        "It hangs up.",
    ),
    (
        r"\b(?:thereby|thereof|herein|hereby|hence|whence|whither|lest|whilst|upon|wherein)\b",
        "today's word",
        "It waits, lest it be lost.",
    ),
    (r"\bthose who\b", "name them: clients, users", "It refuses those who wait."),
    (r"\ball that (?:is|it|they|the) ", "everything that", "It reads all that it can."),
)  # fmt: skip

CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


class Passage(NamedTuple):
    """A comment, a docstring, a message or a paragraph, with single spaces between words."""

    path: Path
    line: int
    text: str


def findings(passage: Passage) -> Iterator[str]:
    """Yield a line for each place where the passage breaks a rule."""
    for pattern, instead, _ in RULES:
        for match in re.finditer(pattern, passage.text):
            shown = passage.text[max(0, match.start() - 30) : match.end() + 30].strip()
            yield f"{passage.path}:{passage.line}: “…{shown}…”: write {instead}"


def passages() -> Iterator[Passage]:
    """Yield the prose of the repository, except the table that quotes an earlier release."""
    for path, text in repository_files():
        if path == Path("docs/setups.md"):
            continue
        if path.suffix == ".py":
            yield from of_python(path, text)
        elif path.suffix == ".md":
            yield from of_markdown(path, text)
        elif _has_comments(path):
            yield from _comments(path, enumerate(text.splitlines(), 1))


def _has_comments(path: Path) -> bool:
    """Return whether this is a file whose comments begin with `#`. Python is parsed instead."""
    return path.parts[0] in ("scripts", ".ci") or path.suffix in (".toml", ".yml", ".example")


def of_python(path: Path, text: str) -> Iterator[Passage]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = [(each.start[0], each.string) for each in tokens if each.type == tokenize.COMMENT]
    yield from _comments(path, iter(lines))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            value = " ".join(node.value.split())
            if value.count(" ") > 2 and "prose" not in path.name:
                yield Passage(path, node.lineno, value)


def _comments(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Passage]:
    """Yield the comments, with those on consecutive lines joined."""
    begin, end, words = 0, 0, list[str]()
    for number, line in lines:
        if not line.lstrip().startswith("#"):
            continue
        if number != end + 1 and words:
            yield Passage(path, begin, " ".join(words))
            words.clear()
        begin, end = (begin if words else number), number
        words += line.lstrip("# ").split()
    if words:
        yield Passage(path, begin, " ".join(words))


def of_markdown(path: Path, text: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table rows, without code blocks."""
    text = CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    number = 1
    for part in re.split(r"(\n\n+|(?<=\|)\n(?=\|)|\n(?=- ))", text):
        if part.strip():
            yield Passage(path, number, " ".join(part.split()))
        number += part.count("\n")
