"""Signing out with unsaved changes, and signing in again in one of several tabs."""

import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts


def test_the_page_asks_before_signing_out_loses_a_change(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk")
    alice.is_saved()
    running.stop_service()
    alice.adds("Read a book")
    alice.reads("be reached. What you change")
    alice.chooses("Sign out")
    alice.reads("Some changes are not saved yet")
    alice.is_looked_at("unsaved")
    alice.page.get_by_role("button", name="Cancel").click()
    running.start_service()
    alice.is_saved()
    assert running.titles(alice.email) == ["Buy milk", "Read a book"]
    did("alice stays, and her change is saved")

    running.stop_service()
    alice.adds("Fix the light")
    alice.reads("be reached. What you change")
    alice.chooses("Sign out")
    alice.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    alice.reads("Some changes were not saved.")
    assert alice.page.get_by_text("What you change is kept").count() == 0
    running.start_service()
    alice.fills_in("Sign in")
    alice.box("Read a book").wait_for()
    assert running.titles(alice.email) == ["Buy milk", "Read a book"]
    did("alice signs out anyway, and the page says that a change was not saved")


def test_a_deletion_that_could_be_undone_is_sent_before_the_user_signs_out(
    alice: Person, running: Stack
) -> None:
    alice.adds("Buy milk", "Read a book")
    alice.is_saved()
    alice.deletes("Buy milk")
    alice.chooses("Sign out")
    alice.page.get_by_role("button", name="Sign in").wait_for()
    assert running.titles(alice.email) == ["Read a book"]
    did("alice deletes a task and signs out at once, without a question")


def test_signing_in_again_in_one_tab_is_enough(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk")
    first = alice.page
    alice.page = second = alice.opens()
    alice.box("Buy milk").wait_for()
    running.end_session(alice.email)
    for tab in (first, second):
        alice.comes_back_to(tab)
        alice.reads("Your session has ended", tab)
    alice.fills_in("Sign in")
    second.get_by_role("dialog").wait_for(state="detached")
    alice.comes_back_to(first)
    first.get_by_role("dialog").wait_for(state="detached")
    did("the session ends, and alice signs in again in one of two tabs")

    alice.chooses("Sign out")
    first.get_by_role("dialog").wait_for(state="detached")
    for tab in (first, second):
        tab.get_by_role("button", name="Sign in").wait_for()
    alice.page = first
    alice.fills_in("Sign in")
    alice.box("Buy milk").wait_for()
    alice.comes_back_to(second)
    alice.box("Buy milk", second).wait_for()
    did("alice signs out, and signs in again in one of two tabs")


def test_the_search_in_the_address_is_one_that_the_service_accepts(alice: Person) -> None:
    alice.adds("Buy milk")
    alice.page.goto(f"{alice.stack.url}/?q=%20")
    alice.box("Buy milk").wait_for()
    alice.page.goto(f"{alice.stack.url}/?q={'x' * 201}")
    alice.reads("Nothing contains")
