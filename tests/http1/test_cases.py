"""Each case of the tables has the same outcome, however its bytes are split into segments."""

from collections.abc import Callable

import pytest

from tests.http1.cases import AFTER_IT, BEFORE_IT, Case
from tests.http1.judge import judge
from tests.http1.tables import CASES
from tests.http1.wire import Address, Received, bytewise, exchange

FORMS: dict[str, Callable[[bytes], list[bytes]]] = {
    "in one segment": lambda stream: [stream, AFTER_IT],
    "in one segment with what follows": lambda stream: [stream + AFTER_IT],
    "byte by byte": lambda stream: [*bytewise(stream), AFTER_IT],
    "behind a request": lambda stream: [BEFORE_IT + stream + AFTER_IT],
    "behind a request, in two segments": lambda stream: [
        BEFORE_IT + stream[: len(stream) // 2],
        stream[len(stream) // 2 :] + AFTER_IT,
    ],
}
Exchanged = dict[tuple[str, str], Received]


@pytest.fixture(scope="module")
def exchanged(address: Address) -> Exchanged:
    """The data received for each case and form. Many are exchanged at once to save time."""
    return {
        (form, case.name): received
        for form, segments in FORMS.items()
        for case, received in zip(
            CASES, exchange(address, [segments(case.stream) for case in CASES]), strict=True
        )
    }


def test_the_names_of_the_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_has_one_of_its_outcomes(case: Case, exchanged: Exchanged) -> None:
    failures = []
    for form in FORMS:
        try:
            judge(case, exchanged[form, case.name], behind=form.startswith("behind"))
        except AssertionError as error:
            failures.append(f"{form}: {error}")
    assert not failures, "\n".join(failures)
