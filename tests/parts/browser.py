"""A headless Chromium that can reach only this machine."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config import ROOT
from tests.parts.parts import need

CHROMIUM = "/usr/bin/chromium"
DOMAIN = "tasks.example.com"  # Swagger UI behaves differently on localhost
PREVIEWS = "previews.example.com"  # hosts below it serve previews of a frontend
SCREENSHOTS = ROOT / "docs/screenshots"


@contextmanager
def chromium() -> Iterator[Any]:
    need("Chromium", "Playwright")
    playwright = importlib.import_module("playwright.sync_api")
    hosts = ", ".join(f"MAP {host} 127.0.0.1" for host in (DOMAIN, f"*.{PREVIEWS}"))
    rules = f"--host-resolver-rules={hosts}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=[rules, "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def screenshot(page: Any, name: str) -> None:
    """With RECORD=1, save a screenshot of `page` for the documentation."""
    if os.environ.get("RECORD") == "1":
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
