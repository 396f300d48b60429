"""The example's page while its parts fail: it says so, and no change is lost or made twice."""

from typing import Any

import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts

MINUTES = 60_000  # milliseconds
TOO_MANY = {"code": "TOO_MANY_REQUESTS", "detail": "Too many requests at once."}


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
    def lose(route: Any) -> None:
        route.fetch()  # the service creates the task
        route.abort()

    alice.page.route("**/tasks", lose, times=2)
    alice.page.get_by_label("New task").fill("Only once")
    alice.page.keyboard.press("Enter")
    alice.reads("be reached. What you change")
    alice.page.get_by_text("be reached. What you change").wait_for(state="detached")
    alice.is_saved()
    assert running.titles(alice.email) == ["Only once"]
    assert alice.shows() == ["Only once"]
    did("two responses to one creation are lost, and one task is created")


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


def test_a_change_is_sent_again_after_a_429(alice: Person, running: Stack) -> None:
    """The test makes the 429 itself: one browser sends too few requests to cause one."""
    alice.adds("Buy milk")
    alice.is_saved()
    refused = {"status": 429, "headers": {"Retry-After": "3"}, "json": TOO_MANY}
    alice.page.route("**/complete", lambda route: route.fulfill(**refused), times=1)
    alice.box("Buy milk").check()
    alice.reads("That was a lot at once")
    alice.is_looked_at("busy")
    alice.page.get_by_text("That was a lot at once").wait_for(state="detached")
    alice.is_saved()
    assert running.sql("SELECT 1 FROM tasks WHERE title = 'Buy milk' AND completed")
    did("the page reports a 429 with Retry-After, then sends alice's change again")


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

    running.sql(
        "UPDATE session SET \"expiresAt\" = now() - interval '1 minute'"
        ' WHERE "userId" = (SELECT id FROM "user" WHERE email = %s)',
        alice.email,
    )
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
    alice.adds("Buy milk")
    alice.page.route("**/complete", lambda route: route.fulfill(status=500))
    alice.box("Buy milk").click()  # `check` would fail, because the page undoes the change at once
    alice.reads("“Buy milk” was not saved")
    assert not alice.box("Buy milk").is_checked()
    alice.reads("0 of 1 done")
    alice.is_looked_at("refused")
    did("a change that fails for good is undone on the page, with the reason")


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
