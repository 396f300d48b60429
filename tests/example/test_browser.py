"""Two users of the example in Chromium, with nothing mocked. `pytest -s` lists their steps."""

import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts


def test_two_users_work_on_their_own_tasks(alice: Person, bob: Person, running: Stack) -> None:
    alice.is_looked_at("empty")
    alice.adds("Call the dentist", "Buy milk", "Water the plants")
    bob.adds("Fix the bicycle light")
    did("alice adds three tasks while bob adds one")
    alice.box("Buy milk").check()
    alice.edits("Call the dentist", "Call the doctor", "Before nine.\nAsk for the results.")
    bob.box("Fix the bicycle light").check()
    bob.reads("1 of 1 done")
    alice.reads("1 of 3 done")
    assert alice.shows() == ["Water the plants", "Buy milk", "Call the doctor"]
    assert bob.shows() == ["Fix the bicycle light"]
    did("alice ticks, edits in place and reads “1 of 3 done”; bob sees only his own task")
    alice.is_looked_at("full")

    alice.deletes("Water the plants")
    alice.reads("Deleted “Water the plants”")
    alice.reads("1 of 2 done")
    alice.page.get_by_role("button", name="Undo").click()
    alice.reads("1 of 3 done")
    alice.box("Water the plants").wait_for()
    did("alice deletes a task and undoes it")

    alice.page.get_by_text("Completed", exact=True).click()
    alice.until("document.querySelectorAll('#tasks li').length === 1")
    assert alice.shows() == ["Buy milk"]
    alice.page.get_by_text("Pending", exact=True).click()
    alice.until("document.querySelectorAll('#tasks li').length === 2")
    alice.page.get_by_label("Sort").select_option("title")
    alice.until("document.querySelector('#tasks .title').textContent === 'Call the doctor'")
    alice.page.reload()
    alice.box("Water the plants").wait_for()
    assert alice.shows() == ["Call the doctor", "Water the plants"]
    did("alice filters and sorts, and a reload keeps both")

    alice.page.get_by_role("button", name="Clear completed").click()
    alice.is_looked_at("question")
    alice.page.get_by_role("button", name="Delete 1 completed task").click()
    alice.reads("Deleted 1 completed task")
    assert running.titles(alice.email) == ["Call the doctor", "Water the plants"]
    assert running.titles(bob.email) == ["Fix the bicycle light"]
    did("alice clears her completed tasks; bob's completed task stays")


def test_a_user_signs_out_signs_in_and_deletes_the_account(alice: Person, running: Stack) -> None:
    alice.adds("Buy milk")
    second = alice.opens()
    alice.box("Buy milk", second).wait_for()
    alice.chooses("Sign out")
    alice.page.get_by_role("button", name="Sign in").wait_for()
    second.get_by_role("button", name="Sign in").wait_for()
    second.close()
    did("alice signs out, which signs her other tab out too")
    alice.is_looked_at("sign-in")
    alice.fills_in("Sign in", password="wrong password")
    alice.reads("Invalid email or password")
    alice.fills_in("Sign in")
    alice.box("Buy milk").wait_for()
    did("alice signs in after a wrong password")
    alice.chooses("Delete account")
    alice.is_looked_at("delete-account")
    alice.page.get_by_label("Your password").fill("wrong password")
    alice.page.get_by_role("button", name="Delete everything").click()
    alice.reads("Invalid password")
    user = alice.id()
    alice.page.get_by_label("Your password").fill("correct horse")
    alice.page.get_by_role("button", name="Delete everything").click()
    alice.page.get_by_role("button", name="Sign in").wait_for()
    assert running.sql('SELECT 1 FROM "user" WHERE email = %s', alice.email) == []
    assert running.sql("SELECT 1 FROM tasks WHERE user_id = %s", user) == []
    did("alice deletes her account, and her tasks are erased")


def test_every_action_works_from_the_keyboard(bob: Person, running: Stack) -> None:
    keyboard = bob.page.keyboard
    bob.page.locator("body").click()
    keyboard.press("n")
    for title in ("First", "Second", "Third"):
        keyboard.type(title)
        keyboard.press("Enter")
    keyboard.press("Escape")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    keyboard.press("Space")
    bob.reads("1 of 3 done")
    assert bob.box("Second").is_checked()
    keyboard.press("Enter")
    keyboard.press("End")
    keyboard.type(" one")
    keyboard.press("Enter")
    bob.box("Second one").wait_for()
    bob.until("document.activeElement.getAttribute('aria-label') === 'Second one'")
    keyboard.press("ArrowUp")
    keyboard.press("Delete")
    bob.reads("Deleted “Third”")
    bob.until("document.activeElement.getAttribute('aria-label') === 'Second one'")
    keyboard.press("z")
    bob.until("document.activeElement.getAttribute('aria-label') === 'Third'")
    keyboard.press("?")
    bob.reads("Go from task to task")
    bob.is_looked_at("shortcuts")
    keyboard.press("Escape")
    bob.page.get_by_role("dialog").wait_for(state="detached")
    did("bob adds, moves, ticks, edits, deletes, undoes and lists the shortcuts by keyboard")


def test_tabs_stay_in_sync_and_a_conflict_offers_both_versions(
    alice: Person, running: Stack
) -> None:
    alice.adds("Buy milk", "Read a book")
    first, second = alice.page, alice.opens()
    alice.box("Buy milk", second).wait_for()
    alice.box("Read a book").check()
    alice.edits("Buy milk", "Buy oat milk")
    alice.box("Buy oat milk").wait_for()
    alice.is_saved()
    alice.comes_back_to(second)
    alice.box("Buy oat milk", second).wait_for()
    alice.reads("1 of 2 done", second)
    did("alice changes tasks in one tab, and the other one shows it when she switches to it")

    for text, choice, final in (
        ("Buy soy milk", "Yours", "Buy soy milk"),
        ("Buy nothing", "The other one", "Buy rice milk"),
    ):
        [title] = [title for title in running.titles(alice.email) if title.startswith("Buy")]
        alice.comes_back_to(second)
        alice.box(title, second).wait_for()
        alice.opens_editor(title, second)
        second.get_by_label("Title").fill(text)
        alice.comes_back_to(first)
        alice.box(title).wait_for()
        with first.expect_response("**/tasks/*"):
            alice.edits(title, "Buy rice milk", "Two litres")
        second.bring_to_front()
        second.get_by_label("Title").press("Enter")
        alice.reads("Which version is right?", second)
        alice.page = second
        if choice == "Yours":
            alice.is_looked_at("conflict")
        second.get_by_role("button", name=choice).click()
        alice.box(final).wait_for()
        alice.is_saved()
        alice.page = first
        assert final in running.titles(alice.email)
        did(f"a conflicting edit offers both versions, and alice chooses “{choice}”")

    running.sql("DELETE FROM tasks WHERE title = 'Read a book'")
    alice.edits("Read a book", "Read two books")
    alice.reads("was deleted somewhere else")
    first.get_by_role("button", name="Add it again").click()
    alice.box("Read two books").wait_for()
    did("a task that was deleted elsewhere can be added again, with the user's text")


def test_a_user_searches(bob: Person) -> None:
    bob.adds("Call the doctor", "Water the plants")
    bob.page.get_by_role("checkbox").first.focus()
    bob.page.keyboard.press("/")
    bob.page.keyboard.type("DOCTOR")
    bob.until("document.querySelectorAll('#tasks li').length === 1")
    assert bob.shows() == ["Call the doctor"]
    bob.page.get_by_label("Search").fill("submarine")
    bob.reads("Nothing contains “submarine”")
    bob.page.keyboard.press("Escape")
    bob.box("Water the plants").wait_for()
    did("bob searches in upper case and ends the search")
