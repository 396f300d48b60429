"""The links of a Markdown page, and the anchors of its headings, as GitHub makes them."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.documentation.prose import CODE

LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
OUTSIDE = re.compile(r"[a-z]+:|//")


def links(text: str) -> Iterator[str]:
    """Yield the targets of the links that point into the repository."""
    text = re.sub(r"`[^`\n]*`", "", CODE.sub("", text))
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if not OUTSIDE.match(target):
            yield target


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings. Repeated headings get a number, as on GitHub."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", CODE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def broken(page: Path, text: str, root: Path) -> Iterator[str]:
    """Yield each broken link of `page`, a path relative to `root`, with the reason."""
    for target in links(text):
        name, _, anchor = target.partition("#")
        path = root / page.parent / name if name else root / page
        if not path.exists():
            yield f"{page}: {target}: no such file"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text()):
            yield f"{page}: {target}: no such heading"
