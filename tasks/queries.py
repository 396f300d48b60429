"""Every statement of the task routes, built once.

A row has the fields of TaskResponse, in its order. The service makes the JSON of it, not Postgres:
there can be more of the one and only one of the other.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Delete,
    Insert,
    Text,
    Update,
    any_,
    bindparam,
    case,
    delete,
    false,
    insert,
    tuple_,
    update,
)
from sqlalchemy.sql import ColumnElement, literal_column
from sqlmodel import DateTime, cast, func, select

from database import prepare
from models import FILTERS, tasks
from schemas import Order, Sort, Status, TaskResponse

columns = tasks.c


def _rfc3339(time: ColumnElement[datetime]) -> ColumnElement[str]:
    """In UTC, and always as wide, so that a later one sorts behind an earlier one as text too."""
    utc = func.timezone(literal_column("'UTC'"), time)
    return func.to_char(utc, literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""))


def _field(name: str) -> ColumnElement[Any]:
    is_time = TaskResponse.model_fields[name].annotation is datetime
    return _rfc3339(columns[name]).label(name) if is_time else columns[name]


FIELDS = tuple(_field(name) for name in TaskResponse.model_fields)


# As representations.py makes it of a row.
ETAG = func.concat(literal_column("'\"'"), _rfc3339(columns.updated_at), literal_column("'\"'"))

USER_ID = bindparam("user_id", type_=Text)
OWN_TASK = (columns.id == bindparam("task_id"), columns.user_id == USER_ID)

# Later than every change before it, also within one microsecond or after the clock was set back.
NEXT_UPDATE = func.greatest(
    func.clock_timestamp(), columns.updated_at + literal_column("interval '1 microsecond'")
)


class Change(NamedTuple):
    """A statement that changes a task, and the same for a task whose ETag is one of `if_match`."""

    always: str
    if_match: str


def _answered(change: Insert | Update | Delete) -> str:
    """`change` as a statement that gives the task as it then is, or last was."""
    return prepare(change.returning(*FIELDS))


def _change(statement: Update | Delete) -> Change:
    """Postgres asks a condition anew of a row that another changed meanwhile: only one can win.

    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)
    """
    is_current = any_(bindparam("if_match", type_=ARRAY(Text))) == ETAG
    return Change(_answered(statement), _answered(statement.where(is_current)))


GET = prepare(select(*FIELDS).where(*OWN_TASK))

CREATE = _answered(
    insert(tasks).values(
        user_id=USER_ID,
        title=bindparam("title"),
        description=bindparam("description"),
        completed=false(),
    )
)

UPDATE = _change(
    update(tasks)
    .where(*OWN_TASK)
    .values(
        title=func.coalesce(bindparam("title"), columns.title),
        description=case(
            (bindparam("has_description", type_=Boolean), bindparam("description")),
            else_=columns.description,
        ),
        completed=func.coalesce(bindparam("completed"), columns.completed),
        updated_at=NEXT_UPDATE,
    )
)

TOGGLE = _change(
    update(tasks).where(*OWN_TASK).values(completed=~columns.completed, updated_at=NEXT_UPDATE)
)

DELETE = _change(delete(tasks).where(*OWN_TASK))

# Asked only after one of the above found nothing: is it the task of another user?
FOREIGN = prepare(select(columns.user_id != USER_ID).where(columns.id == bindparam("task_id")))


@lru_cache
def list_tasks(status: Status, sort: Sort, order: Order, *, after: bool) -> str:
    """The statement of a page: `limit` tasks from the start, or `after` a position (`key`, `id`).

    The position is the sort key and the id of the last task of the page before, compared as a row,
    which an index answers at every depth.
    """
    statement = select(*FIELDS).where(columns.user_id == USER_ID)
    if status != "all":
        statement = statement.where(FILTERS[status])
    key: ColumnElement[Any] = columns.created_at
    position: ColumnElement[Any] = cast(bindparam("key"), DateTime(timezone=True))
    if sort == "title":
        key, position = func.lower(columns.title), func.lower(cast(bindparam("key"), Text))
    if after:
        here, there = tuple_(key, columns.id), tuple_(position, bindparam("id"))
        statement = statement.where(here > there if order == "asc" else here < there)
    ordering = (key.asc(), columns.id.asc()) if order == "asc" else (key.desc(), columns.id.desc())
    # A limit that Postgres can't see when it plans: knowing that a page is most of what a user has,
    # it would read all of it in any order and sort, and be wrong about how much that is.
    limit = select(bindparam("limit", type_=BigInteger)).scalar_subquery()
    return prepare(statement.order_by(*ordering).limit(limit))
