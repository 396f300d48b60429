"""The files and settings in docs/better-auth.md and docs/typescript-client.md, and their paths."""

import re
from pathlib import Path

from config import ROOT

FOLDER = ROOT / "docs/frontend"
PAGES = [ROOT / "docs/better-auth.md", ROOT / "docs/typescript-client.md"]
TEXT = "\n".join(page.read_text() for page in PAGES)

# A code block of a file has the file's name after the language.
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.M | re.S)
ROW = re.compile(r"^\| \[`(.+?)`\]\(.+?\) \| (.*?) ?\| (.*?) ?\|$", re.M)


def blocks() -> dict[str, str]:
    """Return the text of each block by its name."""
    return dict(BLOCK.findall(TEXT))


def places(framework: str) -> dict[str, Path]:
    """Return the path of each file in the frontend of `framework`, "vite" or "next"."""
    column = 1 if framework == "vite" else 2
    cells = {row[0]: row[column].strip("`") for row in ROW.findall(TEXT)}
    return {name: Path(place) for name, place in cells.items() if place}
