"""Users of the example's page, and what they do there."""

import sys
from typing import Any

from tests.example.stack import FRONTEND, Stack
from tests.parts.browser import screenshot
from tests.parts.parts import need

PASSWORD = "correct horse"
AXE = FRONTEND / "node_modules/axe-core/axe.min.js"
# Each state of the page is checked at these window widths and colour schemes.
WIDTHS = (360, 768, 1280)
FORMS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]
TOO_WIDE = """[...document.querySelectorAll("dialog, [popover], #tasks li")]
  .filter((element) => element.scrollWidth > element.clientWidth)
  .map((element) => element.outerHTML.slice(0, 200))"""
RECORDED = {(360, "dark"), (768, "light")}


def did(what: str) -> None:
    """Print a step of the test, which `pytest -s` shows."""
    sys.stdout.write(f"  - {what}\n")
    sys.stdout.flush()


class Person:
    """A user with a separate browser context. `page` is the current tab."""

    def __init__(self, browser: Any, stack: Stack, name: str) -> None:
        self.stack = stack
        self.name = name
        self.email = f"{name}@example.com"
        self.context = browser.new_context(viewport={"width": 768, "height": 900})
        self.context.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page = self.opens()

    def opens(self, path: str = "/") -> Any:
        """Open a tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.stack.url + path)
        return page

    def signs_up(self) -> None:
        self.page.get_by_role("button", name="I am new here").click()
        self.fills_in("Create account")
        self.page.get_by_text("No tasks yet").wait_for()

    def fills_in(self, button: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("E-mail").fill(self.email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name=button).click()

    def adds(self, *titles: str) -> None:
        for title in titles:
            self.page.get_by_label("New task").fill(title)
            self.page.keyboard.press("Enter")
            self.box(title).wait_for()

    def box(self, title: str, page: Any = None) -> Any:
        return (page or self.page).get_by_role("checkbox", name=title, exact=True)

    def edits(self, title: str, to: str, description: str | None = None, page: Any = None) -> None:
        page = page or self.page
        self.opens_editor(title, page)
        page.get_by_label("Title").fill(to)
        if description is not None:
            page.get_by_label("Description").fill(description)
        page.keyboard.press("Enter")

    def opens_editor(self, title: str, page: Any) -> None:
        page.locator("#tasks li", has=self.box(title, page)).locator(".text").click()

    def deletes(self, title: str) -> None:
        self.page.get_by_role("button", name=f"Delete {title}", exact=True).click()
        self.box(title).wait_for(state="detached")

    def chooses(self, item: str) -> None:
        """Choose an item of the account menu."""
        self.page.get_by_role("button", name=f"Account {self.email}").click()
        self.page.get_by_role("button", name=item).click()

    def reads(self, text: str, page: Any = None) -> None:
        """Wait until the page shows `text`."""
        (page or self.page).get_by_text(text).first.wait_for()

    def shows(self) -> list[str]:
        """Return the titles in the order of the page."""
        # Not the inner texts: content-visibility leaves out tasks that are off the screen.
        titles: list[str] = self.page.locator("#tasks .title").all_text_contents()
        return titles

    def comes_back_to(self, page: Any) -> None:
        """Switch to another tab. A headless browser sends the page no focus event by itself."""
        page.bring_to_front()
        page.evaluate("window.dispatchEvent(new Event('focus'))")

    def is_saved(self) -> None:
        """Wait until the service has confirmed every change."""
        self.page.get_by_text("Saving …").wait_for(state="detached")

    def id(self) -> str:
        session = self.context.request.get(f"{self.stack.url}/api/auth/get-session").json()
        found: str = session["user"]["id"]
        return found

    def token(self) -> str:
        """Return a JWT, as another device of the user gets one."""
        found: str = self.context.request.get(f"{self.stack.url}/api/auth/token").json()["token"]
        return found

    def until(self, condition: str, argument: object = None) -> None:
        self.page.wait_for_function(condition, arg=argument)

    def is_looked_at(self, state: str) -> None:
        """Check the page in this state with axe in each of FORMS, and take screenshots."""
        need("axe-core")
        size = self.page.viewport_size
        for width, scheme in FORMS:
            self.page.set_viewport_size({"width": width, "height": 780})
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = violations(self.page)
            assert found == [], f"{state}, {width}, {scheme}: {found}"
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width
            assert self.page.evaluate(TOO_WIDE) == [], f"{state}, {width}"
            if (width, scheme) in RECORDED or (width, scheme, state) == (1280, "dark", "full"):
                screenshot(self.page, f"example-{state}-{width}-{scheme}")
        self.page.set_viewport_size(size)
        did(f"axe-core finds nothing in the state “{state}” at {WIDTHS} px, light and dark")

    def leaves(self) -> None:
        assert self.complaints == []
        self.context.close()


def violations(page: Any) -> list[tuple[str, list[str]]]:
    """Return the axe-core rules that the page breaks, with the elements that break them."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    results = page.evaluate("axe.run()")
    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in results["violations"]
    ]
