"""Every statement of the task routes, built once.

Postgres writes the JSON of a task, so that a row goes from the socket to the answer as it is. Its
fields are those of TaskResponse: the schema that is documented is the one that is written.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Delete,
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

RFC3339_UTC = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

columns = tasks.c


def _field(name: str) -> str:
    is_time = TaskResponse.model_fields[name].annotation is datetime
    return f"{RFC3339_UTC.format(name)} AS {name}" if is_time else f"tasks.{name}"


_FIELDS = ", ".join(_field(name) for name in TaskResponse.model_fields)
TASK_JSON: ColumnElement[str] = literal_column(
    f"(SELECT row_to_json(task) FROM (SELECT {_FIELDS}) AS task)::text"  # noqa: S608
)
# Strong, as `updated_at` is later after every change (RFC 9110, section 8.8.1). It is that time in
# quotes, so that whoever has a task out of a list has its entity tag too.
ETAG: ColumnElement[str] = literal_column(f"""('"' || {RFC3339_UTC.format("updated_at")} || '"')""")

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


def _change(statement: Update | Delete) -> Change:
    """Postgres asks a condition anew of a row that another changed meanwhile: only one can win.

    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)
    """
    is_current = any_(bindparam("if_match", type_=ARRAY(Text))) == ETAG
    return Change(prepare(statement), prepare(statement.where(is_current)))


GET = prepare(select(TASK_JSON, ETAG).where(*OWN_TASK))

CREATE = prepare(
    insert(tasks)
    .values(
        user_id=USER_ID,
        title=bindparam("title"),
        description=bindparam("description"),
        completed=false(),
    )
    .returning(TASK_JSON, ETAG, columns.id)
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
    .returning(TASK_JSON, ETAG)
)

TOGGLE = _change(
    update(tasks)
    .where(*OWN_TASK)
    .values(completed=~columns.completed, updated_at=NEXT_UPDATE)
    .returning(TASK_JSON, ETAG)
)

DELETE = _change(delete(tasks).where(*OWN_TASK).returning(columns.id))

# Asked only after one of the above found nothing: is it the task of another user?
FOREIGN = prepare(select(columns.user_id != USER_ID).where(columns.id == bindparam("task_id")))


@lru_cache
def list_tasks(status: Status, sort: Sort, order: Order, *, after: bool) -> str:
    """The statement of a page: `limit` tasks from the start, or `after` a position (`key`, `id`).

    The position is the sort key and the id of the last task of the page before, compared as a row,
    which an index answers at every depth.
    """
    statement = select(TASK_JSON).where(columns.user_id == USER_ID)
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
