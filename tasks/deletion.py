"""Delete the completed tasks of a user, or everything that the database holds of a user."""

from typing import NamedTuple

import msgspec
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from database import Session
from errors import APIError, InvalidInput
from errors.faults import Fault
from schemas import Cleared
from tasks.pagination import Slots
from tasks.serialization import to_json

# Tasks in one statement, which must take much less than its 5 seconds.
BATCH = 10_000


def _deleted(condition: str) -> str:
    """Return the parts of a statement that choose a batch of the user's tasks, and delete it.

    The condition is there twice. A task that another statement changed after it was chosen is
    checked again by the DELETE, and stays if it is no longer completed.
    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)

    A batch is the user's first tasks in the order of an index, up to the last one that was chosen.
    So each plan reads a task once. A list of ids would be compared with each task, which took 12 s
    for a table that was just filled and has no statistics.
    """
    own = f"user_id = %(user_id)s{condition}"
    return f"""\
chosen AS (
    SELECT created_at, id FROM tasks WHERE {own} ORDER BY created_at, id LIMIT {BATCH}
), deleted AS (
    DELETE FROM tasks WHERE {own} AND (created_at, id) <= (
        SELECT created_at, id FROM chosen ORDER BY created_at DESC, id DESC LIMIT 1
    ) RETURNING id
)"""  # noqa: S608


CLEAR_COMPLETED = f"""\
WITH {_deleted(" AND completed IS true")}
SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM chosen) = {BATCH}"""  # noqa: S608

# The records of idempotency keys hold the user's id, so they go too.
ERASE = f"""\
WITH {_deleted("")}, known AS (
    SELECT key FROM idempotency_keys WHERE user_id = %(user_id)s ORDER BY key LIMIT {BATCH}
), forgotten AS (
    DELETE FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key <= (SELECT max(key) FROM known)
)
SELECT (SELECT count(*) FROM deleted),
    (SELECT count(*) FROM chosen) = {BATCH} OR (SELECT count(*) FROM known) = {BATCH}"""  # noqa: S608

STATEMENTS: dict[Cleared, str] = {"completed": CLEAR_COMPLETED, "all": ERASE}


def check_bare(request: Request) -> None:
    """Refuse what would make a deletion of many tasks look like one of a few. Raises InvalidInput.

    A client that sends ids in a body, or the ETag of a task, means these tasks. Ignoring that would
    delete others.
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

    It is not sent again after a lost connection: the number of the first time would be lost.
    """
    [batch] = await session.fetch(STATEMENTS[status], {"user_id": user_id}, retry=False)
    return Batch(*batch)


class Deletion(msgspec.Struct):
    """How many tasks were deleted. The field is that of TasksDeletedResponse."""

    deleted: int


class LargeDeletion(Response):
    """Deletes the rest, batch by batch, and then responds.

    Like the later parts of a whole list, each batch waits for a slot of its own, so that other
    users have their turns in between. If the client disconnects, the rest is deleted nevertheless.
    """

    media_type = "application/json"

    def __init__(
        self, session: Session, slots: Slots, user_id: str, status: Cleared, deleted: int
    ) -> None:
        """Take the number of tasks that the first batch deleted."""
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
        except APIError as error:
            raise _interrupted(error, self._deleted) from error
        response = Response(to_json(Deletion(self._deleted)), media_type=self.media_type)
        await response(scope, receive, send)

    async def _delete_batch(self) -> bool:
        await self._slots.acquire(self._user_id, has_begun=True)
        try:
            deleted, has_more = await delete_batch(self._session, self._user_id, self._status)
        finally:
            self._slots.release(self._user_id)
        self._deleted += deleted
        return has_more


def _interrupted(error: APIError, deleted: int) -> APIError:
    """Return `error` with what was done before it. The last batch may have been deleted too."""
    error.detail = (
        f"{error.detail} At least {deleted} tasks were deleted; send the request again to delete"
        " the rest."
    )
    return error
