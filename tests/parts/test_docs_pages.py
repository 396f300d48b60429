"""The docs pages in a real browser, on a machine without a network.

They need Chromium (Debian: apt-get install chromium) and Playwright (uv sync --group browser).
"""

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from auth import make_token
from tests.conftest import SECRET

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
DOMAIN = "tasks.example.com"  # Swagger UI behaves otherwise on localhost


def missing(what: str, remedy: str) -> None:
    """CI must not pass because a browser is missing."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what} is missing: {remedy}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        missing("Chromium", "apt-get install chromium")
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError:
        missing("Playwright", "uv sync --group browser")
    rules = f"--host-resolver-rules=MAP {DOMAIN} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=[rules, "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(params=["127.0.0.1", DOMAIN])
def page(chromium: Any, base_url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that may ask the service only; in the end it has asked nobody else, nor complained."""
    origin = f"{request.param}:{urlsplit(base_url).port}"
    elsewhere: list[str] = []
    complaints: list[str] = []
    context = chromium.new_context(base_url=f"http://{origin}")
    page = context.new_page()
    page.set_default_timeout(20_000)

    def ask(route: Any) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("data", "blob") or address.netloc == origin:
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", ask)
    page.on("console", lambda said: complaints.extend([said.text] * (said.type == "error")))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert elsewhere == []
    assert complaints == []


def try_out(page: Any, operation: str, body: object = None, **parameters: str) -> tuple[int, str]:
    """Runs an operation by its form; gives the status and what is shown of the answer."""
    block = page.locator(f"#operations-tasks-{operation}")
    block.locator(".opblock-summary-control").click()
    for name, value in parameters.items():
        block.locator(f'tr[data-param-name="{name}"] input').fill(value)
    if body is not None:
        block.locator("textarea.body-param__text").fill(json.dumps(body))
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tbody tr.response")
    status = int(answer.locator(".response-col_status").inner_text().split()[0])
    shown: str = answer.inner_text()
    block.locator(".opblock-summary-control").click()
    return status, shown


def test_swagger_ui_runs_all_six_operations(page: Any, alice: str) -> None:
    page.goto("/docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(make_token(alice, SECRET))
    page.locator(".auth-container button.authorize").click()
    page.locator(".auth-container button.btn-done").click()

    status, shown = try_out(page, "createTask", {"title": "Buy milk"}, user_id=alice)
    assert (status, "Buy milk" in shown) == (201, True)
    task = str(json.loads(shown[shown.index("{") : shown.index("}") + 1])["id"])

    status, shown = try_out(page, "listTasks", user_id=alice, limit="")
    assert (status, '"count": 1' in shown) == (200, True)
    one = {"user_id": alice, "task_id": task}
    assert try_out(page, "getTask", **one)[0] == 200
    status, shown = try_out(page, "updateTask", {"title": "Buy oat milk"}, **one)
    assert (status, "Buy oat milk" in shown) == (200, True)
    status, shown = try_out(page, "toggleTask", **one)
    assert (status, '"completed": true' in shown) == (200, True)
    assert try_out(page, "deleteTask", **one)[0] == 204


def test_redoc_shows_every_operation(page: Any) -> None:
    page.goto("/redoc")
    page.get_by_role("heading", name="Create a task").wait_for()
    text = page.locator("#redoc-container, redoc").first.inner_text()
    for summary in ("List tasks", "Get a task", "Update a task", "Delete a task", "bearerToken"):
        assert summary in text
