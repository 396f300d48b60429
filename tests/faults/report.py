"""The table of docs/faults.md: what each test did to the service, and what the service did."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.faults.load import Ledger

INTRODUCTION = """\
# What it does under load and faults

`scripts/test-faults` does all of this to a real Postgres and a service process of its own, on
127.0.0.1, counts, and writes this page. Run of {date}.

Each task that a client created had a title of its own, so that each can be counted in the table
afterwards: *acknowledged* is how many were answered 201, *found* how many of them are there, *lost*
how many are not, *duplicated* how many are there twice. What got no 201 may be there or not, and
the documentation tells clients so. *Slowest* is the longest that any client waited for an answer.

"""
COLUMNS = (
    *("what was done", "2xx", "503", "other 5xx", "no answer"),
    *("acknowledged", "found", "lost", "duplicated", "slowest", "what it did"),
)


class Row(NamedTuple):
    done: str
    cells: tuple[str, ...]
    saw: str


rows: list[Row] = []


def note(done: str, ledger: Ledger, seen: Mapping[str, Any]) -> None:
    """Print and keep a row for a test with load."""
    answers = ledger.answers
    counts = (
        sum(count for status, count in answers.items() if status < 300),
        answers[503],
        sum(count for status, count in answers.items() if status >= 500 and status != 503),
        ledger.broken.total(),
        *(seen[name] for name in ("acknowledged", "found", "lost", "duplicated")),
    )
    saw = {name: value for name, value in seen.items() if name not in _COUNTED}
    _keep(done, (*map(str, counts), f"{ledger.slowest:.1f} s"), saw)


def remark(done: str, saw: Mapping[str, Any], *, fives: int = 0, others: int = 0) -> None:
    """Print and keep a row for another test. `fives` counts its 503s, `others` its other 5xx."""
    _keep(done, ("", str(fives), str(others), *[""] * 6), saw)


_COUNTED = {"acknowledged", "found", "lost", "duplicated"}


def _keep(done: str, cells: tuple[str, ...], saw: Mapping[str, Any]) -> None:
    sentence = "; ".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in saw.items())
    rows.append(Row(done, cells, sentence))
    print(f"\n{done} | {' | '.join(cells)} | {sentence}")  # noqa: T201


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def page() -> str:
    """Return the whole page."""
    lines = [COLUMNS, ("---", *["---:"] * 9, "---")]
    lines += [(row.done, *row.cells, row.saw) for row in rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return INTRODUCTION.format(date=datetime.now(UTC).date()) + table + TAIL


TAIL = """
What is left to a proxy: how many connections one address may open, and the speed of a client that
takes its answer, but slowly. An answer that was on its way when its client vanished can't be told
from one that was read; what the service knew to be unheard is in its log.
"""
