"""The docs pages in a real browser that can send no request to another host."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.parts.browser import DOMAIN, screenshot
from tests.support.serving import SECRET, bearer
from tokens.verifier import make_token

pytestmark = pytest.mark.parts


@pytest.fixture(params=["127.0.0.1", DOMAIN])
def page(chromium: Any, base_url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page. It fails the test if it sends a request to another host or logs an error."""
    origin = f"{request.param}:{urlsplit(base_url).port}"
    elsewhere: list[str] = []
    complaints: list[str] = []
    size = {"width": 960, "height": 720}
    context = chromium.new_context(base_url=f"http://{origin}", viewport=size)
    page = context.new_page()
    page.set_default_timeout(20_000)

    def ask(route: Any) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("data", "blob") or address.netloc == origin:
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    def complain(said: Any) -> None:
        """Collect errors, but not those for a 4xx of the API, which a test may expect."""
        if said.type == "error" and "/api/" not in said.location["url"]:
            complaints.append(said.text)

    context.route("**/*", ask)
    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert elsewhere == []
    assert complaints == []


def try_out(page: Any, operation: str, body: object = None, **parameters: str) -> tuple[int, str]:
    """Send an operation from its form, and return the status and the response that is shown."""
    block = page.locator(f"#operations-tasks-{operation}")
    block.locator(".opblock-summary-control").click()
    for name, value in parameters.items():
        block.locator(f'tr[data-param-name="{name}"] input').fill(value)
    if body is not None:
        block.locator("textarea.body-param__text").fill(json.dumps(body))
    block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table tbody tr.response")
    status = int(response.locator(".response-col_status").inner_text().split()[0])
    shown: str = response.inner_text()
    block.locator(".opblock-summary-control").click()
    return status, shown


def log_in(page: Any, user_id: str) -> None:
    page.get_by_role("button", name="Authorize").click()
    assert "uv run auth.py user_123" in page.locator(".auth-container").inner_text()
    page.locator(".auth-container input").fill(make_token(user_id, SECRET))
    page.locator(".auth-container button.authorize").click()
    page.locator(".auth-container button.btn-done").click()


def test_every_operation_succeeds_with_the_values_that_swagger_ui_fills_in(
    page: Any, base_url: str, alice: str
) -> None:
    """The test only authorizes and clicks. After a reload the page is still authorized."""
    # Task 1, whose id is the example, belongs to another user.
    task = {"title": "Buy milk"}
    httpx.post(f"{base_url}/api/{alice}/tasks", json=task, headers=bearer(alice))
    page.goto("/")
    page.wait_for_url("**/docs")
    log_in(page, "Zoë/1")
    blocks = page.locator("[id^=operations-tasks-]")
    names = [name.split("-")[-1] for name in blocks.evaluate_all("all => all.map(e => e.id)")]
    names.sort(key=lambda name: (name != "createTask", name.startswith("delete")))
    statuses = {name: try_out(page, name)[0] for name in names}
    assert len(statuses) >= 6
    assert {status // 100 for status in statuses.values()} == {2}, statuses
    page.reload()
    assert try_out(page, "createTask")[0] == 201


def test_swagger_ui_runs_all_six_operations(page: Any, alice: str) -> None:
    page.goto("/docs")
    screenshot(page, "swagger-ui")
    log_in(page, alice)

    status, shown = try_out(page, "createTask", {"title": "Buy milk"}, user_id=alice)
    assert (status, "Buy milk" in shown) == (201, True)
    task = str(json.loads(shown[shown.index("{") : shown.index("}") + 1])["id"])

    status, shown = try_out(page, "listTasks", user_id=alice, limit="")
    assert (status, '"count": 1' in shown) == (200, True)
    block = page.locator("#operations-tasks-listTasks")
    block.locator(".opblock-summary-control").click()
    block.locator(".live-responses-table").scroll_into_view_if_needed()
    screenshot(page, "swagger-ui-answer")
    block.locator(".opblock-summary-control").click()
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
    screenshot(page, "redoc")
    text = page.locator("#redoc-container, redoc").first.inner_text()
    for summary in ("List tasks", "Get a task", "Update a task", "Delete a task", "bearerToken"):
        assert summary in text


def test_swagger_ui_shows_the_body_of_an_error(page: Any, alice: str) -> None:
    page.goto("/docs")
    status, shown = try_out(page, "listTasks", user_id=alice, limit="")
    assert (status, '"code": "NOT_AUTHENTICATED"' in shown) == (401, True)
