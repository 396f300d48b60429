"""Users of the example's page who do what nobody expects: nothing they write is lost."""

from typing import Any

import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts

MINUTES = 60_000  # milliseconds
ROWS = "document.querySelectorAll('#tasks li').length"
TICK_ALL = "document.querySelectorAll('#tasks .tick input').forEach((box) => box.click())"


def problem_of(field: Any) -> str:
    message: str = field.evaluate("field => field.validationMessage")
    return message


def test_a_text_that_is_too_long_is_not_cut_off(alice: Person, running: Stack) -> None:
    field = alice.page.get_by_label("New task")
    field.fill("x" * 255)
    field.press("Enter")
    assert problem_of(field) == "This has 255 characters, and 200 are possible."
    assert field.input_value() == "x" * 255
    field.fill("🥛" * 200)
    field.press("Enter")
    alice.box("🥛" * 200).wait_for()
    alice.adds("W" * 200)
    alice.opens_editor("W" * 200, alice.page)
    description = alice.page.get_by_label("Description")
    description.focus()
    alice.page.keyboard.insert_text("y" * 2000)
    description.press("Enter")
    assert problem_of(description) == "This has 2000 characters, and 1000 are possible."
    assert len(description.input_value()) == 2000
    description.fill("y" * 1000)
    description.press("Enter")
    alice.reads("y" * 1000)
    alice.is_looked_at("long")
    alice.is_saved()
    assert running.titles(alice.email) == ["🥛" * 200, "W" * 200]
    did("a title of 255 characters and a pasted text of 2,000 are kept, with an explanation")


def test_thirty_ticks_at_once_are_all_saved(alice: Person, running: Stack) -> None:
    running.add_many(alice.email, 30)
    alice.page.reload()
    alice.reads("0 of 30 done")
    for _ in range(3):
        alice.page.evaluate(TICK_ALL)
    alice.reads("30 of 30 done")
    alice.is_saved()
    alice.page.reload()
    alice.reads("30 of 30 done")
    did("alice ticks 30 tasks, unticks them and ticks them again within a second")


def test_ticking_in_a_filtered_list_moves_the_focus_to_the_next_task(bob: Person) -> None:
    bob.adds("Third", "Second", "First")
    bob.page.get_by_text("Pending", exact=True).click()
    bob.box("First").focus()
    for title in ("First", "Second"):
        bob.until("title => document.activeElement.ariaLabel === title", title)
        bob.page.keyboard.press("Space")
        bob.box(title).wait_for(state="detached")
    bob.until("document.activeElement.ariaLabel === 'Third'")
    did("bob completes one pending task after another with the space bar")


def test_two_tabs_delete_and_undo_the_same_task(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk")
    first, second = alice.page, alice.opens()
    alice.box("Buy milk", second).wait_for()
    alice.deletes("Buy milk")
    second.get_by_role("button", name="Delete Buy milk").click()
    with second.expect_response(lambda response: response.status == 204):
        second.get_by_role("button", name="Close").click()
    first.get_by_role("button", name="Undo").click()
    alice.reads("“Buy milk” was deleted somewhere else")
    alice.box("Buy milk").wait_for(state="detached")
    first.get_by_role("button", name="Add it again").click()
    alice.box("Buy milk").wait_for()
    alice.is_saved()
    assert running.titles(alice.email) == ["Buy milk"]
    second.close()
    did("both tabs delete a task and one of them undoes that: it can be added again")


def test_an_open_editor_keeps_its_text_when_the_task_is_deleted(
    alice: Person, running: Stack
) -> None:
    alice.adds("Read a book", "Buy milk")
    alice.page.get_by_text("Pending", exact=True).click()
    alice.opens_editor("Buy milk", alice.page)
    alice.page.get_by_label("Title").fill("Buy oat milk")
    running.sql("DELETE FROM tasks WHERE title = 'Buy milk'")
    with alice.page.expect_response("**/tasks?*"):
        alice.comes_back_to(alice.page)
    alice.page.wait_for_timeout(500)
    assert alice.page.get_by_label("Title").input_value() == "Buy oat milk"
    alice.page.get_by_label("Title").press("Enter")
    alice.reads("was deleted somewhere else")
    alice.page.get_by_role("button", name="Add it again").click()
    alice.box("Buy oat milk").wait_for()
    alice.is_saved()
    assert running.titles(alice.email) == ["Read a book", "Buy oat milk"]
    alice.reads("0 of 2 done")
    did("a task is deleted elsewhere while alice edits it: her text is kept")


def test_another_tab_adds_a_task_while_completed_ones_are_cleared(
    alice: Person, running: Stack
) -> None:
    alice.adds("Pending", "Completed one")
    alice.box("Completed one").check()
    alice.is_saved()
    first, second = alice.page, alice.opens()
    first.get_by_role("button", name="Clear completed").click()
    alice.page = second
    alice.adds("Added meanwhile")
    alice.is_saved()
    first.get_by_role("button", name="Delete 1 completed task").click()
    alice.reads("Deleted 1 completed task", first)
    alice.box("Added meanwhile", first).wait_for()
    alice.comes_back_to(second)
    alice.reads("0 of 2 done", second)
    assert running.titles(alice.email) == ["Pending", "Added meanwhile"]
    alice.page = first
    did("another tab adds a task while alice clears the completed ones: both tabs agree")


def test_text_that_is_being_typed_survives_a_lost_connection(alice: Person) -> None:
    alice.adds("Buy milk")
    alice.opens_editor("Buy milk", alice.page)
    alice.page.keyboard.press("End")
    alice.page.keyboard.type(", oat")
    alice.context.set_offline(True)
    alice.reads("You are offline")
    alice.page.keyboard.type(" milk")
    alice.context.set_offline(False)
    alice.page.keyboard.type(" too")
    alice.comes_back_to(alice.page)
    alice.page.get_by_text("You are offline").wait_for(state="detached")
    assert alice.page.get_by_label("Title").input_value() == "Buy milk, oat milk too"
    alice.page.keyboard.press("Enter")
    alice.box("Buy milk, oat milk too").wait_for()
    alice.is_saved()
    did("the connection is lost and returns while alice types")


def test_the_session_ends_while_the_user_scrolls(alice: Person, running: Stack) -> None:
    running.add_many(alice.email, 500)
    alice.page.clock.install()
    alice.page.reload()
    alice.reads("0 of 500 done")
    alice.until(f"{ROWS} >= 100")
    running.end_session(alice.email)
    alice.page.clock.fast_forward(16 * MINUTES)
    alice.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    alice.reads("Your session has ended")
    for _ in range(3):
        alice.page.keyboard.press("Escape")
    alice.page.wait_for_timeout(300)
    alice.page.get_by_role("dialog").wait_for()
    alice.fills_in("Sign in")
    alice.page.get_by_role("dialog").wait_for(state="detached")
    alice.until(f"(scrollTo(0, document.body.scrollHeight), {ROWS} === 500)")
    assert alice.shows() == [str(number) for number in range(500, 0, -1)]
    did("the session ends while alice scrolls; Escape does not hide that; all tasks are loaded")


def test_a_search_while_the_list_is_loading_shows_only_its_result(
    bob: Person, running: Stack
) -> None:
    running.add_many(bob.email, 2000)
    bob.page.reload()
    bob.until(f"{ROWS} >= 100")
    bob.page.evaluate("setInterval(() => scrollTo(0, document.body.scrollHeight), 20)")
    bob.page.get_by_label("Search").press_sequentially("1999", delay=60)
    bob.until("document.querySelector('#tasks .title')?.textContent === '1999'")
    bob.page.wait_for_timeout(500)
    assert bob.shows() == ["1999"]
    bob.page.get_by_label("Search").fill("")
    bob.until(f"{ROWS} === 2000")
    assert bob.shows() == [str(number) for number in range(2000, 0, -1)]
    did("bob searches while the list scrolls: he sees the result, and then all tasks in order")


def test_back_returns_to_the_view_before(bob: Person) -> None:
    bob.adds("Water the plants", "Call the doctor")
    bob.box("Call the doctor").check()
    bob.page.get_by_text("Completed", exact=True).click()
    bob.box("Water the plants").wait_for(state="detached")
    bob.page.get_by_label("Search").press_sequentially("submarine", delay=300)
    bob.reads("Nothing contains “submarine”")
    bob.page.go_back()
    bob.box("Call the doctor").wait_for()
    assert bob.page.get_by_label("Search").input_value() == ""
    bob.page.go_back()
    bob.box("Water the plants").wait_for()
    bob.page.go_forward()
    bob.box("Water the plants").wait_for(state="detached")
    assert bob.page.get_by_label("Completed").is_checked()
    did("bob goes back from a search to the filter, and from the filter to all tasks")


def test_nothing_moves_for_users_who_want_less_motion(bob: Person) -> None:
    for motion, animation in (("no-preference", "appear"), ("reduce", "none")):
        bob.page.emulate_media(reduced_motion=motion)
        bob.page.locator("body").press("?")
        dialog = bob.page.get_by_role("dialog", name="Keyboard shortcuts")
        assert dialog.evaluate("element => getComputedStyle(element).animationName") == animation
        bob.page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
    did("with prefers-reduced-motion, dialogs and notices appear without animation")
