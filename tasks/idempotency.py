"""Create a task once, however often the client sends the request.

The header is specified in https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

from hashlib import sha256
from typing import NamedTuple

import errors
from database import Session, compile_sql
from postgres.dialect import DIALECT
from postgres.prepared import Statement
from schemas import TaskCreate
from tasks.queries import FIELDS, GET, NEW, stored
from tasks.serialization import Task, to_task

# Both times come from the database. Citus requires an IMMUTABLE expression. The difference of two
# times is IMMUTABLE, but `now()` is not, and neither is a time minus an interval.
_EXPIRED = "excluded.created_at - kept.created_at > interval '24 hours'"
_FIELDS = ", ".join(compile_sql(field) for field in FIELDS)
_NEW_COLUMNS = ", ".join(map(DIALECT.identifier_preparer.format_column, NEW))
_NEW_VALUES = ", ".join(map(compile_sql, NEW.values()))
_AS_NEW_IF_EXPIRED = ", ".join(
    f"{name} = CASE WHEN {_EXPIRED} THEN excluded.{name} ELSE kept.{name} END"
    for name in ("fingerprint", "task_id", "created_at")
)

# The record of a key stores the id that its task has or would have had. A second request waits for
# the first and then gets that id instead of its own. DO NOTHING would wait too, but not return the
# id. Only a request that gets its own id creates the task. Only a digest of the body is stored.
#
# Citus runs the parts of a WITH one after another, and each sees the rows that earlier parts wrote.
# Without NOT EXISTS, the last part, which finds an earlier task, would also find a new one, and the
# statement would return two rows.
#
# The statement is written in SQL, because SQLAlchemy has no OVERRIDING SYSTEM VALUE.
CREATE_ONCE = Statement(
    f"""\
WITH next AS (
    SELECT nextval(pg_get_serial_sequence('tasks', 'id')) AS id
), claim AS (
    INSERT INTO idempotency_keys AS kept (user_id, key, fingerprint, task_id)
    SELECT %(user_id)s, %(key)s, %(fingerprint)s, id FROM next
    ON CONFLICT (user_id, key) DO UPDATE SET {_AS_NEW_IF_EXPIRED}
    RETURNING task_id, fingerprint
), task AS (
    INSERT INTO tasks (id, user_id, {_NEW_COLUMNS}) OVERRIDING SYSTEM VALUE
    SELECT id, %(user_id)s, {_NEW_VALUES} FROM next JOIN claim ON id = task_id
    RETURNING {_FIELDS}
)
SELECT claim.task_id, claim.fingerprint = %(fingerprint)s, answered.*
FROM claim LEFT JOIN LATERAL (
    SELECT false, task.* FROM task
    UNION ALL
    SELECT true, {_FIELDS} FROM tasks WHERE id = claim.task_id AND user_id = %(user_id)s
        AND NOT EXISTS (SELECT FROM task)
) AS answered ON true"""  # noqa: S608
)


def fingerprint(task: TaskCreate) -> bytes:
    """Return the digest of a body.

    With exclude_defaults, a field that is added later does not change the digest of a body without
    it.
    """
    return sha256(task.model_dump_json(exclude_defaults=True).encode()).digest()


class Created(NamedTuple):
    """A task, and whether an earlier request created it."""

    task: Task
    replayed: bool


async def create_once(session: Session, user_id: str, task: TaskCreate, key: str) -> Created:
    """Create a task, or return the one that was created under this key, in its current state.

    Raises IdempotencyKeyReused if the key was used for another body, and TaskNotFound if the task
    has been deleted since then. Running the statement again changes nothing, so it is retried after
    a lost connection.
    """
    own = {"user_id": user_id, "key": key, "fingerprint": fingerprint(task)}
    values = {**own, **stored(task.model_dump())}
    [(task_id, same, replayed, *row)] = await session.fetch(CREATE_ONCE, values, retry=True)
    if not same:
        raise errors.IdempotencyKeyReused
    if replayed is not None:
        return Created(to_task(row), replayed)
    # The task was deleted, or it was committed while the statement waited. The statement does not
    # see such a task, but the next one does.
    for earlier in await session.fetch(GET, {**values, "task_id": task_id}, retry=True):
        return Created(to_task(earlier), replayed=True)
    raise errors.TaskNotFound
