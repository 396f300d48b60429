"""The tables agree with h11 about every stream, except where a reason is listed."""

import re

import pytest

from tests.http1.cases import AFTER, AFTER_IT, Case
from tests.http1.differences import REASONS, agrees, differs
from tests.http1.reference import read
from tests.http1.tables import CASES


def agrees_with_h11(case: Case) -> bool:
    reading = read(case.stream + AFTER_IT)
    return any(agrees(outcome, reading, AFTER) for outcome in case.outcomes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_agrees_with_h11_or_has_a_listed_reason(case: Case) -> None:
    assert agrees_with_h11(case) or differs(case)


@pytest.mark.parametrize("pattern", REASONS.values(), ids=REASONS)
def test_each_listed_reason_is_needed(pattern: str) -> None:
    cases = [case for case in CASES if re.fullmatch(pattern, case.name)]
    assert not all(agrees_with_h11(case) for case in cases)
