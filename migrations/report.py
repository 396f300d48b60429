"""The sentence that a migration prints when it ends."""

import traceback
from collections.abc import Iterable
from pathlib import Path

from psycopg2.errors import LockNotAvailable
from sqlalchemy.exc import DBAPIError

from postgres.connect_error import sentence

LOCKED = "; another session held a lock on it for too long, so try again when that one is done"

INTERRUPTED = "The migration was interrupted, and its transaction was rolled back."


def success(before: Iterable[str], after: Iterable[str]) -> str:
    """Return what was done to a database that was at the revisions `before`."""
    if set(before) == set(after):
        return f"Up to date at {_names(after)}."
    return f"Migrated from {_names(before)} to {_names(after)}."


def unknown(revisions: Iterable[str], head: str | None) -> str:
    """Return why nothing is done if the database is at `revisions` that this release lacks."""
    return (
        f"The database is at {_names(revisions)}, which this release does not know: its newest is "
        f"{head}. A newer release migrated the database, and this one can use it without a "
        "migration. Nothing was changed (docs/operations.md)."
    )


def failure(error: DBAPIError) -> str:
    """Return what the database or libpq said, and which migration it was about.

    The details that Postgres adds are left out, because they may quote a row.
    """
    cause = error.orig
    assert cause is not None
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    place = _place(error)
    hint = LOCKED if isinstance(cause, LockNotAvailable) else ""
    return f"The migration failed{place}: {primary or sentence(cause)}{hint}."


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f" in {Path(each.filename).name}, line {each.lineno}"
        for each in frames
        if Path(each.filename).parent.name == "versions"
    ]
    return places[-1] if places else ""


def _names(revisions: Iterable[str]) -> str:
    return ", ".join(sorted(revisions)) or "nothing"
