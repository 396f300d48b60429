"""The page that says what was done to the service, what happened, and the verdict."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, NamedTuple

from tests.faults.load import Ledger

INTRODUCTION = """\
# Under load and faults

`scripts/test-faults` runs a service against a real Postgres on 127.0.0.1, breaks one or the other,
counts the tasks, and writes this page. It fails if a task is lost or duplicated. Run of {date}.
"""
# A heading for the rows of some test files, and what the reader has to know.
SECTIONS = {
    "1,000 connections": (
        ("test_overload",),
        """\
The [plan](performance.md#the-plans-targets) asks for 1,000 or more concurrent users. In the first
row, 1,000 clients send the next request as soon as they have a response. The other two rows, and
all other sections, go beyond the plan.

Each task that a client creates has a unique title. *Acknowledged* tasks are those whose client
received a 201; each is looked up in the table afterwards. A request that got no 201 may still have
created its task; *created without a 201* counts these tasks.
""",
    ),
    "Postgres fails": (
        ("test_database", "test_waking"),
        "In most rows, 20 clients read and write while Postgres fails.\n",
    ),
    "Postgres fails behind PgBouncer": (
        ("test_pgbouncer", "test_prepared_statements"),
        """\
PgBouncer is in transaction mode. 26000, 42P05 and 0A000 are the errors after which a statement is
sent again ([021](decisions/021-prepared-statements.md)).
""",
    ),
    "The service is killed or stopped": (
        ("test_process", "test_restart", "test_workers"),
        """\
*Without a response* are requests whose connection was closed or refused. If the service was
stopped, it had not begun these requests, unless Postgres was frozen.
""",
    ),
    "Concurrent changes": (("test_races",), ""),
    "Clients misbehave": (
        ("test_clients", "test_memory_budget", "test_memory_of_connections"),
        """\
A well-behaved client sends small requests meanwhile. The memory that stays is measured for each
client while it is connected, and for all clients after they have disconnected.
""",
    ),
    "Hostile input": (("test_hostile", "test_cost", "test_cost_of_framing"), ""),
}
COLUMNS = ("what was done", "what happened", "verdict")


class Row(NamedTuple):
    test_file: str
    done: str
    happened: str
    verdict: str


rows: list[Row] = []


def note(done: str, ledger: Ledger, seen: Mapping[str, Any]) -> None:
    """Keep a row about a test with load."""
    answers = ledger.answers
    succeeded = sum(count for status, count in answers.items() if status < 300)
    others = sum(count for status, count in answers.items() if status >= 500 and status != 503)
    happened = {
        "2xx": succeeded,
        "503": answers[503],
        "other 5xx": others,
        "without a response": ledger.broken.total(),
        "slowest response": f"{ledger.slowest:.1f} s",
    }
    rest = {name: value for name, value in seen.items() if name not in _COUNTED}
    verdict = "{acknowledged:,} tasks acknowledged, {lost} lost, {duplicated} duplicated"
    _keep(done, _sentence({**happened, **rest}), verdict.format(**seen))


def remark(done: str, saw: Mapping[str, Any], verdict: str) -> None:
    """Keep a row about a test without a ledger. The test has checked the verdict."""
    _keep(done, _sentence(saw), verdict)


_COUNTED = {"acknowledged", "found", "lost", "duplicated"}
_LEFT_OUT_IF_ZERO = {"503", "other 5xx", "without a response", "created without a 201"}


def _keep(done: str, happened: str, verdict: str) -> None:
    test_file = PurePath(os.environ["PYTEST_CURRENT_TEST"].partition("::")[0]).stem
    rows.append(Row(test_file, done, happened, verdict))
    print(f"\n{done} | {happened} | {verdict}")  # noqa: T201


def _sentence(saw: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name.replace('_', ' ')}: {_text(value)}"
        for name, value in saw.items()
        if value != 0 or name not in _LEFT_OUT_IF_ZERO
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{kind} ({count:,})" for kind, count in value.items())
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if type(value) is int else str(value)


def page() -> str:
    """Return the page, with a table for each section that has rows."""
    parts = [INTRODUCTION.format(date=datetime.now(UTC).date())]
    for heading, (test_files, text) in SECTIONS.items():
        chosen = [row for row in rows if row.test_file in test_files]
        if chosen:
            lines = [COLUMNS, ("---",) * 3, *(row[1:] for row in chosen)]
            table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
            parts += [f"## {heading}\n", text, table]
    return "\n".join(part for part in [*parts, TAIL] if part)


TAIL = """\
## What the service leaves to a proxy

- A limit on the connections of one address.
- Clients that read a response slowly but steadily.

If a client disconnects while the service sends a response, the service can't tell whether the
client read it. If the client disconnects before that, the log says so.
"""
