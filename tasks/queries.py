"""Every statement of the task routes, built once.

A row has the fields of TaskResponse, in the same order. The service converts it to JSON, not
Postgres, because there can be several services but only one Postgres. A client can set the fields
of TaskCreate and TaskUpdate. A field that is added to the model and to these is in every statement.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    Delete,
    Insert,
    Text,
    Update,
    any_,
    bindparam,
    case,
    delete,
    insert,
    or_,
    tuple_,
    update,
)
from sqlalchemy.sql import ColumnElement, literal_column
from sqlmodel import DateTime, cast, func, select

from database import prepare
from models import FILTERS, tasks
from postgres.prepared import Statement
from schemas import Order, Sort, Status, TaskCreate, TaskResponse, TaskUpdate

columns = tasks.c

# A field of a body can't have one of these names. Clients must not set those on the first line.
# Those on the second are the other parameters of the statements.
RESERVED = {
    *("id", "user_id", "created_at", "updated_at"),
    *("task_id", "if_match", "key", "fingerprint"),
}


def _rfc3339(time: ColumnElement[datetime]) -> ColumnElement[str]:
    """Format `time` in UTC with a fixed width, so that later times sort after earlier ones."""
    utc = func.timezone(literal_column("'UTC'"), time)
    return func.to_char(utc, literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""))


def _columns_of(schema: type[BaseModel]) -> list[Column[Any]]:
    """Return the column of each field. Raises TypeError if the table lacks one."""
    if missing := [name for name in schema.model_fields if name not in columns]:
        raise TypeError(f"{schema.__name__} has fields that models.Task has not: {missing}")
    return [columns[name] for name in schema.model_fields]


def _sent(column: Column[Any]) -> BindParameter[Any]:
    """Return a parameter with the name and type of `column`. An empty array needs the type."""
    return bindparam(column.name, type_=column.type)


def _settable(schema: type[BaseModel]) -> list[Column[Any]]:
    """Return the columns that a body sets. Raises TypeError if clients must not set one."""
    if reserved := RESERVED & schema.model_fields.keys():
        raise TypeError(f"{schema.__name__} can't have fields with these names: {reserved}")
    return _columns_of(schema)


FIELDS = tuple(_columns_of(TaskResponse))


# The same ETag that serialization.py makes from a row.
ETAG = func.concat(literal_column("'\"'"), _rfc3339(columns.updated_at), literal_column("'\"'"))

USER_ID = bindparam("user_id", type_=Text)
OWN_TASK = (columns.id == bindparam("task_id"), columns.user_id == USER_ID)

# Later than every earlier change, even within one microsecond or after the clock was set back.
NEXT_UPDATE = func.greatest(
    func.clock_timestamp(), columns.updated_at + literal_column("interval '1 microsecond'")
)


class ConditionalStatement(NamedTuple):
    """A statement that changes a task, and one that also requires its ETag to be in `if_match`."""

    always: Statement
    if_match: Statement


def _returning(change: Insert | Update | Delete) -> Statement:
    """Return `change` as a statement that returns the changed task, or the deleted one."""
    return prepare(change.returning(*FIELDS))


def _conditional(statement: Update | Delete) -> ConditionalStatement:
    """Return `statement` without and with the condition on the ETag.

    Postgres checks a condition again on a row that another statement changed meanwhile, so only
    one can win.
    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)
    """
    is_current = any_(bindparam("if_match", type_=ARRAY(Text))) == ETAG
    return ConditionalStatement(_returning(statement), _returning(statement.where(is_current)))


GET = prepare(select(*FIELDS).where(*OWN_TASK))

# The values of a new task that the client sends. The database fills in the others. Otherwise
# SQLAlchemy would require a value for every column that has a default in the model.
NEW = {column: _sent(column) for column in _settable(TaskCreate)}
DEFAULTS: dict[Column[Any], ColumnElement[Any]] = {
    column: literal_column("DEFAULT") for column in columns if column.default is not None
}

CREATE = _returning(insert(tasks).values({columns.user_id: USER_ID, **DEFAULTS, **NEW}))

# If a column can't be NULL, None means that its field was not sent. The others also have a flag.
FLAGS = {column.name: f"has_{column.name}" for column in _settable(TaskUpdate) if column.nullable}
UNCHANGED = {**dict.fromkeys(TaskUpdate.model_fields), **dict.fromkeys(FLAGS.values(), False)}


def _updated(column: Column[Any]) -> ColumnElement[Any]:
    """Return the value that was sent for `column`, or its current value."""
    if column.name not in FLAGS:
        return func.coalesce(_sent(column), column)
    is_sent = bindparam(FLAGS[column.name], type_=Boolean)
    return case((is_sent, _sent(column)), else_=column)


UPDATE = _conditional(
    update(tasks)
    .where(*OWN_TASK)
    .values({column: _updated(column) for column in _settable(TaskUpdate)})
    .values(updated_at=NEXT_UPDATE)
)


def update_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of UPDATE that set the fields in `changes` and leave the others."""
    flags = {flag: True for name, flag in FLAGS.items() if name in changes}
    return {**UNCHANGED, **changes, **flags}


TOGGLE = _conditional(
    update(tasks).where(*OWN_TASK).values(completed=~columns.completed, updated_at=NEXT_UPDATE)
)

DELETE = _conditional(delete(tasks).where(*OWN_TASK))

# Runs only after one of the above found nothing, and checks whether another user has the task.
TASK_BELONGS_TO_OTHER = prepare(
    select(columns.user_id != USER_ID).where(columns.id == bindparam("task_id"))
)


# A condition that is always true, and that Postgres estimates to be expensive. `filter OR ALWAYS`
# makes a scan of the index of all tasks expensive. It costs nothing where an index has the filter
# as its predicate, because what that implies is not checked again. Otherwise the two indexes would
# be estimated as equally good if most tasks of all users have the same status, and Postgres might
# read and discard the tasks of a user of whom the opposite is true.
ALWAYS = func.to_tsvector(literal_column("'simple'"), columns.title).is_not(None)


@lru_cache
def list_tasks(status: Status, sort: Sort, order: Order, *, after: bool) -> Statement:
    """Return the statement of a page: `limit` tasks from the start, or `after` (`key`, `id`).

    That position is the sort key and the id of the last task of the page before. They are compared
    as a row, because an index supports that at every depth.
    """
    statement = select(*FIELDS).where(columns.user_id == USER_ID)
    if status != "all":
        statement = statement.where(FILTERS[status], or_(FILTERS[status], ALWAYS))
    key: ColumnElement[Any] = columns.created_at
    position: ColumnElement[Any] = cast(bindparam("key"), DateTime(timezone=True))
    if sort == "title":
        key, position = func.lower(columns.title), func.lower(cast(bindparam("key"), Text))
    if after:
        here, there = tuple_(key, columns.id), tuple_(position, bindparam("id"))
        statement = statement.where(here > there if order == "asc" else here < there)
    ordering = (key.asc(), columns.id.asc()) if order == "asc" else (key.desc(), columns.id.desc())
    # Hide the limit from the planner. If Postgres knew that a page is most of a user's tasks, it
    # would read all of them in any order and sort them, and its estimate of them would be wrong.
    limit = select(bindparam("limit", type_=BigInteger)).scalar_subquery()
    return prepare(statement.order_by(*ordering).limit(limit))
