"""Delete the completed tasks of a user, or everything that the database stores for a user."""

import asyncio
from typing import NamedTuple

import msgspec
import psycopg2
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from database import Session
from errors import APIError, InvalidInput
from errors.faults import Fault
from errors.handlers import api_error
from postgres.prepared import Statement
from schemas import Cleared
from tasks.pagination import Slots
from tasks.serialization import to_json

# Tasks to delete in one statement, which must take much less than its limit of 5 seconds.
BATCH = 10_000


def _deleted(condition: str) -> str:
    """Return the parts of a statement that choose a batch of the user's tasks and delete it.

    The DELETE repeats the condition, because another statement may change a task after it was
    chosen. A task that is no longer completed then stays.
    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)

    A batch has the user's first tasks in the order of an index, up to the last one that was chosen,
    so every plan reads each task once. With a list of ids, Postgres compared each task with the
    list. That took 12 s on a table that was just filled and had no statistics.

    The limit is hidden from the planner, as in a list (queries.LIMIT): without statistics,
    Postgres would read and sort all of the user's tasks for each batch.

    The tasks are first locked in this order, because the DELETE may read them in another one. Two
    deletions that lock the same tasks in different orders would cause a deadlock.
    """
    own = f"user_id = %(user_id)s{condition}"
    return f"""\
chosen AS (
    SELECT created_at, id FROM tasks WHERE {own} ORDER BY created_at, id
    LIMIT (SELECT {BATCH}) FOR UPDATE
), deleted AS (
    DELETE FROM tasks WHERE {own} AND (created_at, id) <= (
        SELECT created_at, id FROM chosen ORDER BY created_at DESC, id DESC LIMIT 1
    ) RETURNING id
)"""  # noqa: S608


CLEAR_COMPLETED = Statement(
    f"""\
WITH {_deleted(" AND completed IS true")}
SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM chosen) = {BATCH}"""  # noqa: S608
)

# The records of idempotency keys contain the user's id, so they are deleted too.
ERASE = Statement(
    f"""\
WITH {_deleted("")}, known AS (
    SELECT key FROM idempotency_keys WHERE user_id = %(user_id)s ORDER BY key
    LIMIT (SELECT {BATCH}) FOR UPDATE
), forgotten AS (
    DELETE FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key <= (SELECT max(key) FROM known)
)
SELECT (SELECT count(*) FROM deleted),
    (SELECT count(*) FROM chosen) = {BATCH} OR (SELECT count(*) FROM known) = {BATCH}"""  # noqa: S608
)

# They are not prepared, so that Postgres plans each for the number of tasks that its user has.
STATEMENTS: dict[Cleared, Statement] = {"completed": CLEAR_COMPLETED, "all": ERASE}


def check_bare(request: Request) -> None:
    """Raise InvalidInput if the request has a body or If-Match.

    A client that sends ids in a body, or the ETag of a task, wants to delete only those tasks. If
    the service ignored that, it would delete other tasks.
    """
    headers = request.headers
    faults = []
    if "if-match" in headers:
        faults.append(Fault("header.If-Match", "is for one task, and must not be sent"))
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        faults.append(Fault("body", "must be empty: status alone says which tasks are deleted"))
    if faults:
        raise InvalidInput(*faults)


class Batch(NamedTuple):
    """How many tasks one statement deleted, and whether there may be more."""

    deleted: int
    has_more: bool


async def delete_batch(session: Session, user_id: str, status: Cleared) -> Batch:
    """Delete up to BATCH tasks.

    The statement is not retried after a lost connection, because the number of tasks that the first
    attempt deleted would be lost.
    """
    [batch] = await session.fetch(STATEMENTS[status], {"user_id": user_id}, retry=False)
    return Batch(*batch)


class Deletion(msgspec.Struct):
    """How many tasks were deleted. It has the field of TasksDeletedResponse."""

    deleted: int


class LargeDeletion(Response):
    """A response that first deletes the rest of the tasks, batch by batch.

    Each batch waits for a slot of its own, like the later parts of a long list, so that requests of
    other users run in between. If the client disconnects, the deletion continues.
    """

    media_type = "application/json"

    def __init__(
        self, session: Session, slots: Slots, user_id: str, status: Cleared, deleted: int
    ) -> None:
        """Prepare the response. `deleted` is how many tasks the first batch deleted."""
        super().__init__()
        self._session = session
        self._slots = slots
        self._user_id = user_id
        self._status = status
        self._deleted = deleted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while await self._delete_batch():
                pass
        except (APIError, psycopg2.Error, asyncio.CancelledError) as error:
            response = api_error(error, scope["app"], scope)
            raise _interrupted(response, self._deleted) from error
        body = to_json(Deletion(self._deleted))
        await Response(body, media_type=self.media_type)(scope, receive, send)

    async def _delete_batch(self) -> bool:
        await self._slots.acquire(self._user_id, has_begun=True)
        try:
            deleted, has_more = await delete_batch(self._session, self._user_id, self._status)
        finally:
            self._slots.release(self._user_id)
        self._deleted += deleted
        return has_more


def _interrupted(error: APIError, deleted: int) -> APIError:
    """Return `error` with the number of tasks that were deleted before it.

    The batch that failed may have been deleted too. A shutdown counts as an error, because it
    cancels the request.
    """
    error.detail = (
        f"{error.detail} At least {deleted} tasks were deleted; send the request again to delete"
        " the rest."
    )
    return error
