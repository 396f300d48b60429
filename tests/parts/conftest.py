"""Fixtures for the tests with real software, and the table of what they used."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import ROOT
from tests.parts import browser
from tests.parts import neon as neons
from tests.parts.neon import Neon
from tests.parts.parts import BY_NAME, CLIENTS, need, table, used

PAGE = ROOT / "docs/real-parts.md"


@pytest.fixture(scope="session")
def neon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neon]:
    need("PostgreSQL", "PgBouncer", "libpq")
    with neons.neon(tmp_path_factory.mktemp("neon")) as neon:
        yield neon


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture
def folder(anonymous: httpx.Client, tmp_path: Path) -> Path:
    """Return a folder with the packages, our sources and the served OpenAPI document."""
    need("Node.js")
    folder = tmp_path / "frontend"
    ignored = shutil.ignore_patterns("node_modules", "package-lock.json")
    shutil.copytree(CLIENTS, folder, ignore=ignored)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "openapi.json").write_text(anonymous.get("/openapi.json").text)
    return folder


def pytest_sessionfinish(exitstatus: int) -> None:
    """With RECORD=1, write the table of the page, if all parts were used and all tests passed."""
    if os.environ.get("RECORD") == "1" and exitstatus == 0 and used == set(BY_NAME):
        before, begin, rest = PAGE.read_text().partition("<!-- written by RECORD=1 -->\n")
        _, end, after = rest.partition("<!-- end -->")
        PAGE.write_text(f"{before}{begin}\n{table()}\n\n{end}{after}")
