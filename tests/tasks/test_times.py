"""Times from Postgres in the format of RFC 3339."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.times import all_rfc3339, rfc3339

EXAMPLES = [
    ("2026-01-09 12:30:45.123456+00", "2026-01-09T12:30:45.123456Z"),
    ("2026-01-09 12:30:45.12+00", "2026-01-09T12:30:45.120000Z"),
    ("2026-01-09 12:30:45+00", "2026-01-09T12:30:45.000000Z"),
    ("2026-01-09 18:00:45.12+05:30", "2026-01-09T12:30:45.120000Z"),
    ("2026-01-09 00:30:45.123456-12", "2026-01-09T12:30:45.123456Z"),
    ("2026-01-09 12:30:45.123456-00", "2026-01-09T12:30:45.123456Z"),
    ("1849-12-31 23:59:59.9+00:19:32", "1849-12-31T23:40:27.900000Z"),
    ("1849-12-31 23:59:59.123456+00:19:32", "1849-12-31T23:40:27.123456Z"),
    ("infinity", "infinity"),
    ("-infinity", "-infinity"),
    ("12026-01-09 12:30:45.12345+00", "12026-01-09 12:30:45.12345+00"),
    ("0044-03-15 12:30:45.12+00 BC", "0044-03-15 12:30:45.12+00 BC"),
    (None, None),
]
WRITTEN = [written for written, _ in EXAMPLES]
MILLIONTHS = st.integers(0, 999_999).map(
    lambda millionths: f"2026-01-09 12:30:45.{millionths:06}".rstrip("0") + "+00"
)


@pytest.mark.parametrize(("written", "sent"), EXAMPLES)
def test_a_time_is_in_utc_with_six_decimals(written: str | None, sent: str | None) -> None:
    assert rfc3339(written) == sent
    assert all_rfc3339([written] * 3) == [sent] * 3


@given(st.lists(MILLIONTHS | st.sampled_from(WRITTEN)) | st.lists(MILLIONTHS))
def test_many_times_are_converted_like_each_of_them(times: list[str | None]) -> None:
    assert all_rfc3339(times) == [rfc3339(time) for time in times]
