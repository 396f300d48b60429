"""The documented frontends in a browser, with the service and a Postgres that they share."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from tests.frontends.apps import App, app
from tests.frontends.pages import blocks
from tests.parts.browser import chromium
from tests.support import processes
from tests.support.processes import free_port, started

pytestmark = pytest.mark.parts

PAGE = 20  # tasks that App.tsx loads at once
EMAIL, PASSWORD = "alice@example.com", "correct horse"


class Frontend(NamedTuple):
    """A running frontend, and the URL of the database that it shares with the service."""

    app: App
    database_url: str

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, for example to change tasks as another device would."""
        with (
            closing(psycopg2.connect(self.database_url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running(framework: str, data: Path) -> Iterator[Frontend]:
    """Follow the page: start the service, create the frontend and the tables, start the servers."""
    with app(framework) as frontend:
        shown = blocks()["service.env"].splitlines()
        settings = {name.lower(): value for name, value in (line.split("=") for line in shown)}
        origin = frontend.with_ports(settings["better_auth_url"])
        assert origin == frontend.with_ports(settings["allowed_origins"]) == frontend.url
        settings |= {"better_auth_url": origin, "allowed_origins": origin}
        settings |= {"dev_db_port": str(free_port()), "better_auth_secret": ""}
        with started(data, **settings) as service:
            service.starts()
            database_url = processes.run("-m", "development.tcp_url", data_dir=data, **settings)
            url = database_url.stdout.strip()
            frontend.write(url, f"http://localhost:{service.port}")
            with frontend.served():
                yield Frontend(frontend, url)
            assert service.stops() == 0


@pytest.fixture(scope="module", params=["vite", "next"])
def frontend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frontend]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as frontend:
        yield frontend


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def fill_in(page: Any, button: str) -> None:
    page.get_by_placeholder("E-mail").fill(EMAIL)
    page.get_by_placeholder("Password").fill(PASSWORD)
    page.get_by_role("button", name=button).click()


def log_in(page: Any, button: str) -> None:
    fill_in(page, button)
    page.get_by_role("button", name="Add").wait_for()


def test_a_user_signs_up_and_works_on_tasks(frontend: Frontend, browser: Any) -> None:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(frontend.app.url)
    page.route("**/sign-up/email", lambda route: route.fulfill(status=502), times=1)
    fill_in(page, "Sign up")
    page.get_by_text("The login can't be reached").wait_for()
    log_in(page, "Sign up")
    item, title = page.get_by_role("listitem"), page.get_by_label("Title")
    tick = page.get_by_role("checkbox")

    page.get_by_text("No tasks yet").wait_for()
    page.get_by_placeholder("What is to be done?").fill("Buy milk")
    page.get_by_role("button", name="Add").dblclick()
    item.wait_for()
    assert title.input_value() == "Buy milk"
    with page.expect_response("**/complete"):
        tick.check()
    assert frontend.sql("SELECT title, completed FROM tasks") == [("Buy milk", True)]
    title.fill("Buy wine")
    title.press("Escape")
    assert title.input_value() == "Buy milk"
    with page.expect_response("**/tasks/*"):
        title.fill("Buy oat milk")
        title.press("Enter")
    assert frontend.sql("SELECT title, completed FROM tasks") == [("Buy oat milk", True)]
    held: list[Any] = []
    page.route("**/tasks/*", lambda route: held.append(route), times=1)
    title.fill("Buy soy milk")
    with page.expect_request("**/tasks/*"):
        tick.press("Space")  # moves the focus from the title, which saves it
    assert not tick.is_checked()  # shown at once, but sent only after the title's response
    with page.expect_response("**/complete"):
        held[0].continue_()
    assert frontend.sql("SELECT title, completed FROM tasks") == [("Buy soy milk", False)]
    assert tick.evaluate("box => box === document.activeElement")

    frontend.sql("UPDATE tasks SET title = 'Tea', updated_at = clock_timestamp()")
    title.fill("Coffee")
    title.press("Tab")
    page.get_by_text("changed").wait_for()
    page.wait_for_function("document.querySelector('[aria-label=Title]').value === 'Tea'")
    title.fill("x" * 201)
    title.press("Tab")
    page.get_by_text("at most 200 characters").wait_for()
    assert title.input_value() == "Tea"
    page.get_by_role("button", name="Delete").click()
    item.wait_for(state="detached")
    assert frontend.sql("SELECT count(*) FROM tasks") == [(0,)]
    tokens = [url for url in asked if url.endswith("/api/auth/token")]
    assert len(tokens) <= 2  # the development mode of React mounts the list twice

    page.get_by_role("button", name="Log out").click()
    log_in(page, "Log in")
    assert complaints == []
    page.context.close()


def test_a_list_grows_as_the_user_scrolls_and_a_refused_tick_is_undone(
    frontend: Frontend, browser: Any
) -> None:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    page.goto(frontend.app.url)
    log_in(page, "Log in")
    frontend.sql(
        "INSERT INTO tasks (user_id, title)"
        ' SELECT id, number::text FROM "user", generate_series(1, 45) AS number'
    )
    page.set_viewport_size({"width": 800, "height": 300})
    page.reload()
    item = page.get_by_role("listitem")
    page.wait_for_function(f"document.querySelectorAll('li').length >= {PAGE}")
    for count in (2 * PAGE, 45):
        item.last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 10_000)
        page.wait_for_function(f"document.querySelectorAll('li').length >= {count}")
    titles = [title.input_value() for title in page.get_by_label("Title").all()]
    assert titles == [str(number) for number in range(45, 0, -1)]

    page.route("**/tasks?*", lambda route: route.fulfill(status=500))
    page.reload()
    page.get_by_text("status 500").wait_for()
    page.unroute("**/tasks?*")
    page.get_by_role("button", name="Reload").click()
    page.wait_for_function(f"document.querySelectorAll('li').length >= {PAGE}")
    assert set(page.get_by_role("alert").all_inner_texts()) == {""}

    frontend.sql("DELETE FROM tasks WHERE title = '45'")
    tick = item.first.get_by_role("checkbox")
    held: list[Any] = []
    page.route("**/complete", lambda route: held.append(route))
    with page.expect_request("**/complete"):
        tick.click()
    assert tick.is_checked()  # before the response
    held[0].continue_()
    item.first.get_by_text("There is no such task.").wait_for()
    assert not tick.is_checked()
    page.context.close()
