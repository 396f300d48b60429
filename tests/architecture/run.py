"""Draw the pictures of docs/architecture.md into docs/architecture/."""

from config import ROOT
from tests.architecture import packages, request

FOLDER = ROOT / "docs/architecture"
PICTURES = {"request.svg": request.draw, "packages.svg": packages.draw}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw())
