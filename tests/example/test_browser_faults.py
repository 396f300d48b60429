"""The example's page while its parts fail: it says so, and no change is lost or made twice.

The faults are real, except for the browser's offline mode and the page's clock.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg2
import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts

MINUTES = 60_000  # milliseconds


@contextmanager
def slow_statements(running: Stack) -> Iterator[None]:
    """Make the statements of the service wait for a lock, most of the time."""
    is_over = threading.Event()

    def lock() -> None:
        with closing(psycopg2.connect(running.database_url)) as connection:
            while not is_over.wait(0.05):
                with connection, connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE tasks")
                    is_over.wait(0.4)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(lock)
        try:
            yield
        finally:
            is_over.set()


@contextmanager
def flood(person: Person, requests: int) -> Iterator[None]:
    """Let another device of `person` send so many requests at once, again and again."""
    token = person.token()
    url = f"http://127.0.0.1:{person.stack.api}/api/{person.id()}/tasks"
    is_over = threading.Event()

    def send() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) as device:
            while not is_over.wait(0.05):
                device.get(url)

    with ThreadPoolExecutor(requests) as threads:
        for _ in range(requests):
            threads.submit(send)
        try:
            yield
        finally:
            is_over.set()


def test_offline_changes_are_sent_when_the_connection_returns(
    alice: Person, running: Stack
) -> None:
    alice.adds("Buy milk", "Read a book")
    alice.context.set_offline(True)
    alice.reads("You are offline")
    alice.box("Buy milk").check()
    alice.adds("Written without a connection")
    alice.edits("Written without a connection", "Written on the train")
    alice.reads("1 of 3 done")
    alice.is_looked_at("offline")
    assert running.titles(alice.email) == ["Buy milk", "Read a book"]
    alice.context.set_offline(False)
    alice.page.get_by_text("You are offline").wait_for(state="detached")
    alice.is_saved()
    assert running.titles(alice.email) == ["Buy milk", "Read a book", "Written on the train"]
    assert running.sql("SELECT title FROM tasks WHERE completed AND title = 'Buy milk'")
    did("alice works offline, and her changes are sent when the connection returns")


def test_a_lost_response_creates_no_second_task(alice: Person, running: Stack) -> None:
    running.link.lose("POST /api/", 3)
    alice.page.get_by_label("New task").fill("Only once")
    alice.page.keyboard.press("Enter")
    alice.reads("be reached. What you change")
    assert running.titles(alice.email) == ["Only once"]
    alice.page.get_by_text("be reached. What you change").wait_for(state="detached")
    alice.is_saved()
    assert running.titles(alice.email) == ["Only once"]
    assert alice.shows() == ["Only once"]
    assert running.link.lost == 3
    did("three responses to one creation are lost, and one task is created")


def test_changes_survive_an_outage_of_the_service_and_of_the_database(
    alice: Person, bob: Person, running: Stack
) -> None:
    alice.adds("Buy milk")
    bob.adds("Fix the light")
    running.stop_service()
    alice.box("Buy milk").check()
    bob.adds("Buy a pump")
    alice.reads("be reached. What you change")
    bob.reads("be reached. What you change")
    alice.is_looked_at("unreachable")
    running.start_service()
    for person in (alice, bob):
        person.page.get_by_text("be reached. What you change").wait_for(state="detached")
        person.is_saved()
    did("the service stops and starts, and both users' changes arrive")

    running.stop_postgres()
    alice.edits("Buy milk", "Buy oat milk")
    alice.reads("The service has a short break")
    alice.is_looked_at("unavailable")
    running.start_postgres()
    alice.page.get_by_text("short break").wait_for(state="detached")
    alice.is_saved()
    assert running.titles(alice.email) == ["Buy oat milk"]
    assert running.titles(bob.email) == ["Fix the light", "Buy a pump"]
    did("Postgres stops and starts: a 503 with Retry-After, and the edit arrives")


def test_a_page_opened_during_an_outage_shows_the_tasks_afterwards(
    alice: Person, running: Stack
) -> None:
    alice.adds("Buy milk")
    running.stop_service()
    alice.page.reload()
    alice.reads("be reached. What you change")
    alice.is_looked_at("broken")
    running.start_service()
    alice.box("Buy milk").wait_for()
    did("a page that was opened without the service shows the tasks once the service is up")


def test_a_change_is_sent_again_after_a_429(alice: Person, bob: Person, running: Stack) -> None:
    """The service refuses a user whose other devices send too much while other users wait."""
    alice.adds("Buy milk")
    alice.is_saved()
    refused: list[Any] = []
    alice.page.on("response", lambda each: refused.append(each) if each.status == 429 else None)
    with running.small_service(), slow_statements(running), flood(bob, 2), flood(alice, 20):
        for _ in range(300):  # the first ones may find a place
            if refused:
                break
            alice.box("Buy milk").click()
            alice.page.wait_for_timeout(100)
        assert refused[0].header_value("Retry-After") == "1"
        alice.reads("That was a lot at once")
        alice.is_looked_at("busy")
        alice.box("Buy milk").check()
    alice.page.get_by_text("That was a lot at once").wait_for(state="detached")
    alice.is_saved()
    assert running.sql("SELECT 1 FROM tasks WHERE title = 'Buy milk' AND completed")
    did("the service refuses alice's change with 429 and Retry-After, and the page sends it again")


def test_too_many_attempts_to_sign_in_are_explained(alice: Person, running: Stack) -> None:
    """In production, Better Auth limits the attempts."""
    alice.chooses("Sign out")
    alice.page.get_by_role("button", name="Sign in").wait_for()
    with running.auth_in_production():
        for status in (401, 401, 401, 429):
            with alice.page.expect_response("**/sign-in/email") as response:
                alice.fills_in("Sign in", password="wrong password")
            assert response.value.status == status
        alice.reads("Too many attempts")
        alice.is_looked_at("too-many-attempts")
        alice.page.wait_for_timeout(10_000)  # Better Auth's limit is for 10 seconds
        alice.fills_in("Sign in")
        alice.reads("No tasks yet")
    did("Better Auth refuses the fourth attempt to sign in with 429; later alice signs in")


def test_no_change_is_lost_when_the_session_ends(alice: Person, running: Stack) -> None:
    alice.page.clock.install()
    alice.page.reload()
    alice.adds("Buy milk")
    alice.is_saved()
    with alice.page.expect_request("**/api/auth/token"):
        alice.page.clock.fast_forward(16 * MINUTES)
        alice.box("Buy milk").check()
    alice.is_saved()
    did("16 minutes pass: the token is renewed, and alice notices nothing")

    running.end_session(alice.email)
    alice.page.clock.fast_forward(16 * MINUTES)
    alice.adds("Written after the end")
    alice.reads("Your session has ended")
    alice.page.clock.run_for(1000)
    alice.is_looked_at("expired")
    assert running.titles(alice.email) == ["Buy milk"]
    alice.fills_in("Sign in")
    alice.page.get_by_role("dialog").wait_for(state="detached")
    alice.is_saved()
    assert running.titles(alice.email) == ["Buy milk", "Written after the end"]
    did("the session ends: alice signs in again over her list, and her change is saved")


def test_the_next_user_in_the_same_browser_sees_and_receives_nothing(
    alice: Person, bob: Person, running: Stack
) -> None:
    alice.adds("Buy milk")
    alice.context.set_offline(True)
    alice.adds("A secret of alice")
    alice.context.clear_cookies()
    alice.context.set_offline(False)
    alice.page.evaluate("window.dispatchEvent(new Event('focus'))")
    alice.page.wait_for_timeout(500)
    if not alice.page.get_by_role("dialog").is_visible():
        # The token, which lasts 15 minutes, was still valid, so the task was saved as alice's.
        alice.page.evaluate("window.dispatchEvent(new Event('focus'))")
    alice.reads("Your session has ended")
    alice.page.get_by_label("E-mail").fill(bob.email)
    alice.page.get_by_label("Password").fill("correct horse")
    alice.page.get_by_role("button", name="Sign in").click()
    alice.reads("No tasks yet")
    assert running.titles(bob.email) == []
    assert alice.shows() == []
    did("bob signs in after alice's session has ended: he sees none of her tasks and gets none")


def test_closing_the_tab_does_not_cancel_a_deletion_that_could_still_be_undone(
    alice: Person, running: Stack
) -> None:
    alice.adds("Buy milk", "Read a book")
    tab = alice.page
    alice.page = alice.opens()
    alice.box("Buy milk").wait_for()
    alice.deletes("Buy milk")
    alice.page.close(run_before_unload=True)
    alice.page = tab
    alice.comes_back_to(tab)
    alice.box("Buy milk").wait_for(state="detached")
    assert running.titles(alice.email) == ["Read a book"]
    did("alice deletes a task and closes the tab at once: the task is deleted")


def test_a_refused_change_is_undone_on_the_page(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk", "Read a book")
    alice.opens_editor("Buy milk", alice.page)
    alice.page.get_by_label("Title").evaluate("field => field.value = 'Buy\\0 oat milk'")
    with alice.page.expect_response(lambda response: response.status == 400):
        alice.page.get_by_label("Title").press("Enter")
    alice.reads("was not saved. title ")
    alice.box("Buy milk").wait_for()
    alice.is_looked_at("refused")
    did("the service refuses a text with 400: the page shows the old text, and the reason")

    running.sql("DELETE FROM tasks WHERE title = 'Read a book'")
    with alice.page.expect_response(lambda response: response.status == 404):
        alice.box("Read a book").click()
    alice.reads("“Read a book” was deleted somewhere else")
    alice.box("Read a book").wait_for(state="detached")
    alice.reads("0 of 1 done")
    did("alice ticks a task that was deleted elsewhere: it disappears, with the reason")


def test_an_account_is_kept_while_its_tasks_cant_be_deleted(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk")
    running.stop_service()
    alice.chooses("Delete account")
    alice.page.get_by_label("Your password").fill("correct horse")
    alice.page.get_by_role("button", name="Delete everything").click()
    alice.reads("so your account was kept")
    assert running.sql('SELECT 1 FROM "user" WHERE email = %s', alice.email)
    running.start_service()
    assert running.titles(alice.email) == ["Buy milk"]
    alice.page.get_by_role("button", name="Delete everything").click()
    alice.page.get_by_role("button", name="Sign in").wait_for()
    assert running.titles(alice.email) == []
    did("the service is down while alice deletes her account: it is kept, and deleted later")
