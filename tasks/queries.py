"""Every statement of the task routes, built once.

A row has the fields of TaskResponse, in the same order. The service, not Postgres, converts it to
JSON, because there can be several services but only one Postgres. A client can set the fields of
TaskCreate and TaskUpdate. If a field is added to the model and to these schemas, every statement
has it.

Each statement also runs on a table that Citus has distributed by `user_id`. There, SET, RETURNING
and DO UPDATE may use only IMMUTABLE functions, and the WHERE of a change may not apply a STABLE
function to a column: docs/scaling.md.
"""

from collections.abc import Sequence
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
    Select,
    Text,
    Update,
    any_,
    bindparam,
    case,
    delete,
    insert,
    or_,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql import ColumnElement, literal_column
from sqlmodel import DateTime, cast, func, select

from database import compile_sql, prepare
from models import FILTERS, tasks
from postgres.prepared import Statement
from schemas import Order, Sort, Status, TaskCreate, TaskResponse, TaskUpdate
from tasks.conversion import Converter, writer

columns = tasks.c

# A field of a body can't have one of these names. Clients must not set the columns on the first
# line. The names on the second line are the other parameters of the statements.
RESERVED = {
    *("id", "user_id", "created_at", "updated_at"),
    *("task_id", "if_match", "key", "fingerprint"),
}


def _columns_of(schema: type[BaseModel]) -> list[Column[Any]]:
    """Return the column of each field. Raises TypeError if the table lacks one."""
    if missing := [name for name in schema.model_fields if name not in columns]:
        raise TypeError(f"{schema.__name__} has fields that models.Task lacks: {missing}")
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

TIMES = ARRAY(DateTime(timezone=True))
USER_ID = bindparam("user_id", type_=Text)
OWN_TASK = (columns.id == bindparam("task_id"), columns.user_id == USER_ID)

NEXT_UPDATE = func.tasks_next_update(columns.updated_at)  # see models.py


class ConditionalStatement(NamedTuple):
    """A statement that changes a task, and one that also requires `updated_at` to be in `if_match`.

    `if_match` is an array as Postgres writes it (headers.updated_at_in).
    """

    always: Statement
    if_match: Statement


def _returning(change: Insert | Update | Delete) -> Statement:
    """Return `change` as a statement that returns the changed task, or the deleted one."""
    return prepare(change.returning(*FIELDS))


def _conditional(statement: Update | Delete) -> ConditionalStatement:
    """Return `statement` without and with the condition on `updated_at`, which is the ETag.

    If another statement has changed the row meanwhile, Postgres checks the condition again, so only
    one of several concurrent changes succeeds.
    (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED)
    """
    is_current = columns.updated_at == any_(bindparam("if_match", type_=TIMES))
    return ConditionalStatement(_returning(statement), _returning(statement.where(is_current)))


GET = prepare(select(*FIELDS).where(*OWN_TASK))

# NEW has the values of a new task that the client sends. The database fills in the others. Without
# DEFAULTS, SQLAlchemy would require a value for every column that has a default in the model.
NEW = {column: _sent(column) for column in _settable(TaskCreate)}
DEFAULTS: dict[Column[Any], ColumnElement[Any]] = {
    column: literal_column("DEFAULT") for column in columns if column.default is not None
}

CREATE = _returning(insert(tasks).values({columns.user_id: USER_ID, **DEFAULTS, **NEW}))

# If a column can't be NULL, None means that its field was not sent. For every other column, a flag
# says whether the field was sent.
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


# The fields whose values psycopg2 can't send as they are. Today's fields need no conversion.
WRITERS: dict[str, Converter] = {
    column.name: convert
    for schema in (TaskCreate, TaskUpdate)
    for column in _settable(schema)
    if (convert := writer(column, schema.model_fields[column.name].annotation))
}


def stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of fields as parameters of a statement."""
    for name in WRITERS.keys() & values if WRITERS else ():
        values[name] = WRITERS[name](values[name])
    return values


def update_values(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of UPDATE that set the fields in `changes` and leave the others."""
    flags = {flag: True for name, flag in FLAGS.items() if name in changes}
    return {**UNCHANGED, **stored(changes), **flags}


TOGGLE = _conditional(
    update(tasks).where(*OWN_TASK).values(completed=~columns.completed, updated_at=NEXT_UPDATE)
)

# A task that already has the value keeps its `updated_at`, so that a repeated request changes
# nothing.
SET_COMPLETED = _conditional(
    update(tasks)
    .where(*OWN_TASK)
    .values(
        completed=_sent(columns.completed),
        updated_at=case(
            (columns.completed != _sent(columns.completed), NEXT_UPDATE), else_=columns.updated_at
        ),
    )
)

DELETE = _conditional(delete(tasks).where(*OWN_TASK))


def _count(status: Status) -> ColumnElement[int]:
    counted = select(func.count()).select_from(tasks)
    return counted.where(columns.user_id == USER_ID, FILTERS[status]).scalar_subquery()


# The numbers of pending and of completed tasks. Each count reads only a partial index. One count
# of all tasks by `completed` would have to read every task of the user, because no index of all
# tasks has that column.
STATS = prepare(select(_count("pending"), _count("completed")))

# Runs only after one of the above found nothing, and checks whether another user has the task.
TASK_BELONGS_TO_OTHER = prepare(
    select(columns.user_id != USER_ID).where(columns.id == bindparam("task_id"))
)


# A condition that is always true, and that Postgres estimates to be expensive. `filter OR ALWAYS`
# makes Postgres avoid the index of all tasks. It costs nothing with a partial index whose predicate
# is the filter, because Postgres does not check a condition that the predicate implies. Without it,
# the estimates for both indexes would be equal if most tasks of all users have the same status. For
# a user whose tasks mostly have the other status, Postgres might then read and discard those.
ALWAYS = func.to_tsvector(literal_column("'simple'"), columns.title).is_not(None)


def _folded(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return `text` in a form that ignores case, as far as the database's locale knows case.

    One function alone is not enough. Only `upper` makes the two small forms of the Greek sigma
    equal, one of which is used at the end of a word. Only `lower` makes the Kelvin sign equal to K.
    """
    return func.upper(func.lower(text))


CONTAINS_Q = or_(
    *(
        _folded(column).like(_folded(bindparam("q", type_=Text)))
        for column in (columns.title, columns.description)
    )
)


_LITERAL = str.maketrans({special: f"\\{special}" for special in "\\%_"})


def pattern(q: str) -> str:
    """Return a LIKE pattern for texts that contain `q`, in which no character of `q` is special."""
    return f"%{q.translate(_LITERAL)}%"


# Hides the limit from the planner. If Postgres expected a page to have most of a user's tasks, it
# would read all of them in any order and sort them, based on a wrong estimate.
LIMIT = select(bindparam("limit", type_=BigInteger)).scalar_subquery()

# The sort key of a task, and of the position after which a page begins.
KEYS: dict[Sort, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "created": (columns.created_at, cast(bindparam("key"), DateTime(timezone=True))),
    "title": (func.lower(columns.title), func.lower(cast(bindparam("key"), Text))),
}


@lru_cache
def list_tasks(
    status: Status, sort: Sort, order: Order, *, after: bool, search: bool = False
) -> Statement:
    """Return the statement of a page: `limit` tasks from the start, or `after` (`key`, `id`).

    `key` and `id` are the sort key and the id of the last task of the previous page. They are
    compared as a row, because an index supports that at every depth. With `search`, the page has
    only tasks that match the pattern `q`. Such a statement is not prepared: a generic plan may use
    a trigram index for a pattern that is too short for one, and would then read all of the index,
    with the tasks of all users.
    """
    key, position = KEYS[sort]
    conditions = [columns.user_id == USER_ID]
    if after:
        here, there = tuple_(key, columns.id), tuple_(position, bindparam("id"))
        conditions.append(here > there if order == "asc" else here < there)
    if search:
        conditions.append(CONTAINS_Q)
    if status != "all":
        conditions += (FILTERS[status], or_(FILTERS[status], ALWAYS))
    if (status, sort) == ("all", "title"):
        page = _merged(conditions, key, order)
    else:
        page = _page(FIELDS, conditions, key, order)
    return Statement(compile_sql(page)) if search else prepare(page)


def _page(
    fields: Sequence[ColumnElement[Any]],
    conditions: Sequence[ColumnElement[bool]],
    key: ColumnElement[Any],
    order: Order,
) -> Select[Any]:
    chosen = select(*fields).where(*conditions)
    return chosen.order_by(*_ordering(order, key, columns.id)).limit(LIMIT)


def _merged(
    conditions: Sequence[ColumnElement[bool]], key: ColumnElement[Any], order: Order
) -> Select[Any]:
    """Return a page of all tasks, merged from pages of the pending and of the completed ones.

    Postgres reads only as much of either page as the merged page needs.
    """
    fields = (*FIELDS, key.label("key"))
    pages = [_page(fields, [*conditions, each], key, order) for each in FILTERS.values()]
    both = union_all(*pages).subquery()
    merged = select(*(both.c[field.name] for field in FIELDS))
    return merged.order_by(*_ordering(order, both.c.key, both.c.id)).limit(LIMIT)


def _ordering(order: Order, *keys: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [key.asc() if order == "asc" else key.desc() for key in keys]
