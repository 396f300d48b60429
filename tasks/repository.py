"""Read and change one task of a user."""

from collections.abc import Mapping
from typing import Any

import errors
from database import Session
from postgres.prepared import Statement
from tasks import queries
from tasks.headers import precondition_failed, updated_at_in
from tasks.serialization import Task, to_task


async def fetch_task(
    statement: Statement,
    user_id: str,
    task_id: int,
    session: Session,
    others: Mapping[str, Any] | None = None,
    *,
    if_match: frozenset[str] | None = None,
    retry: bool = False,
) -> Task:
    """Return the user's task that `statement` selects or changes.

    `others` are the statement's other parameters, besides the condition `if_match`. Every statement
    checks the task, its owner and its condition at once. A second statement finds out why only if
    the first one finds nothing. Raises TaskNotFound, Forbidden or PreconditionFailed.
    """
    values = {**(others or {}), "user_id": user_id, "task_id": task_id}
    if if_match is not None:
        values["if_match"] = updated_at_in(if_match)
    for row in await session.fetch(statement, values, retry=retry, last=True):
        return to_task(row)
    for (belongs_to_other,) in await session.fetch(
        queries.TASK_BELONGS_TO_OTHER, values, retry=True
    ):
        if belongs_to_other:
            raise errors.Forbidden("the task is another user's")
        if if_match is not None:
            raise precondition_failed(if_match)
    raise errors.TaskNotFound


async def modify_task(
    statement: queries.ConditionalStatement,
    user_id: str,
    task_id: int,
    session: Session,
    if_match: frozenset[str] | None,
    others: Mapping[str, Any] | None = None,
) -> Task:
    """Return the user's task after `statement`. Raises what `fetch_task` raises."""
    chosen = statement.always if if_match is None else statement.if_match
    return await fetch_task(chosen, user_id, task_id, session, others, if_match=if_match)
