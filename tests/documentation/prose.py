"""Phrases that a reader has to read twice, and where the repository's prose stands."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.documentation.files import repository_files

# A pattern, what to write instead, and a sentence that it finds.
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
    """A comment, a docstring, a message or a paragraph: its white space is single blanks."""

    path: Path
    line: int
    text: str


def findings(passage: Passage) -> Iterator[str]:
    """Return a line for each rule that the passage breaks."""
    for pattern, instead, _ in RULES:
        for match in re.finditer(pattern, passage.text):
            shown = passage.text[max(0, match.start() - 30) : match.end() + 30].strip()
            yield f"{passage.path}:{passage.line}: “…{shown}…”: write {instead}"


def passages() -> Iterator[Passage]:
    """Return the prose of the repository."""
    for path, text in repository_files():
        if path.suffix == ".py":
            yield from of_python(path, text)
        elif path.suffix == ".md":
            yield from of_markdown(path, text)
        elif _has_comments(path):
            yield from _comments(path, enumerate(text.splitlines(), 1))


def _has_comments(path: Path) -> bool:
    """Return whether `#` begins a comment in the file."""
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
    """Join comments on lines that follow one another."""
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
    """Return the paragraphs and the rows of tables, without blocks of code."""
    text = CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    number = 1
    for part in re.split(r"(\n\n+|(?<=\|)\n(?=\|)|\n(?=- ))", text):
        if part.strip():
            yield Passage(path, number, " ".join(part.split()))
        number += part.count("\n")
