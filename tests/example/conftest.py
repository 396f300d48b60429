"""The running example, which all tests of its page share, and two users."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.example.browser import Person
from tests.example.stack import Stack, stack
from tests.parts.browser import chromium


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("example")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser. It is closed after each module, because its event loop occupies this thread."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def alice(browser: Any, running: Stack) -> Iterator[Person]:
    yield from person(browser, running, "alice")


@pytest.fixture
def bob(browser: Any, running: Stack) -> Iterator[Person]:
    yield from person(browser, running, "bob")


numbers = count(1)


def person(browser: Any, running: Stack, name: str) -> Iterator[Person]:
    """Sign up a new user, and check at the end that the page raised no error."""
    person = Person(browser, running, f"{name}{next(numbers)}")
    person.signs_up()
    yield person
    person.leaves()
