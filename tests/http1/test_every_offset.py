"""Each case, split into two segments at every byte."""

import pytest

from tests.http1.cases import AFTER_IT, Case
from tests.http1.judge import judge
from tests.http1.tables import CASES
from tests.http1.wire import Address, Received, exchange

pytestmark = pytest.mark.slow

LONGEST = 1000  # bytes; longer cases test limits
SHORT = [case for case in CASES if len(case.stream) <= LONGEST]
AT_ONCE = 20  # cases in each test, which wait at the same time for a close that may not come


@pytest.mark.parametrize("start", range(0, len(SHORT), AT_ONCE))
def test_a_case_split_at_any_offset_has_one_of_its_outcomes(start: int, address: Address) -> None:
    splits = [
        (case, [case.stream[:at], case.stream[at:] + AFTER_IT])
        for case in SHORT[start : start + AT_ONCE]
        for at in range(1, len(case.stream))
    ]
    came_back = exchange(address, [segments for _, segments in splits])
    failures = [
        f"{case.name}, split at {len(segments[0])}: {error}"
        for (case, segments), received in zip(splits, came_back, strict=True)
        if (error := fault(case, received))
    ]
    assert not failures, "\n".join(failures[:20])


def fault(case: Case, received: Received) -> str:
    try:
        judge(case, received)
    except AssertionError as error:
        return str(error)
    return ""
