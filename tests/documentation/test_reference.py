"""The tables of docs/reference list exactly the existing operations, errors and settings."""

import re

import main
from config import ROOT, Settings
from errors import APIError
from mcp_server.settings import HttpSettings, StdioSettings
from tests.documentation.errors import error_classes

NOT_IN_THE_DOCUMENT = {"/docs", "/redoc", "/openapi.json"}
FOLDER = ROOT / "docs/reference"


def rows(page: str) -> list[list[str]]:
    """Return the cells of each table row on the page."""
    lines = re.findall(r"^\| (.*) \|$", (FOLDER / page).read_text(), re.MULTILINE)
    return [line.split(" | ") for line in lines]


def test_the_settings_page_lists_exactly_the_settings() -> None:
    names = [name for row in rows("settings.md") for name in re.findall(r"`([A-Z_]+)`", row[0])]
    ours = [name for name in names if not name.startswith("OTEL_")]
    settings = (Settings, StdioSettings, HttpSettings)
    assert set(ours) == {name.upper() for each in settings for name in each.model_fields}
    assert len(ours) == len(set(ours))


def test_the_errors_page_lists_exactly_the_errors() -> None:
    named = {(row[0], row[1].strip("`")) for row in rows("errors.md") if row[0].isdecimal()}
    assert named == {(str(error.status), error.code) for error in error_classes(APIError)}


def test_the_endpoints_page_lists_exactly_the_documented_operations() -> None:
    paths = main.app.openapi()["paths"]
    there = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    named = set()
    for first, *_ in rows("endpoints.md"):
        if call := re.match(r"`([A-Z]+) (/[^`?]*)", first):
            methods = [call[1], *re.findall(r"`([A-Z]+)`", first)]
            named |= {(method, call[2]) for method in methods}
    assert {each for each in named if each[1] not in NOT_IN_THE_DOCUMENT} == there
