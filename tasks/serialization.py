"""Tasks and lists of tasks as the statements return them, and their JSON.

TaskResponse and TaskListResponse in schemas.py document them and have the same fields. A pydantic
model takes several times as long to create from a row and to serialize.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from models import tasks
from schemas import TaskResponse
from tasks.conversion import reader, types_in
from tasks.times import all_rfc3339, rfc3339


class _Task(msgspec.Struct, gc=False):  # no garbage collection, because it has no cycles
    """A row of `queries.FIELDS`, with its times in the format of RFC 3339."""

    if TYPE_CHECKING:  # the fields that the service itself reads
        id: int
        title: str
        created_at: str
        updated_at: str

    @property
    def etag(self) -> str:
        """The entity tag: `updated_at`, in quotes.

        It is strong, because `updated_at` is later after every change (RFC 9110, section 8.8.1). A
        client that has a task from a list has its entity tag too.
        """
        return f'"{self.updated_at}"'


if TYPE_CHECKING:
    Task = _Task
else:
    Task = msgspec.defstruct("Task", TaskResponse.model_fields, bases=(_Task,), gc=False)


# The positions of the times in a row.
TIMES = tuple(
    number
    for number, field in enumerate(TaskResponse.model_fields.values())
    if set(types_in(field.annotation)) == {datetime}
)
# The positions of the fields that need another conversion, which none of today's fields do.
READERS = tuple(
    (number, convert)
    for number, (name, field) in enumerate(TaskResponse.model_fields.items())
    if (convert := reader(tasks.c[name], field))
)


def to_task(row: Iterable[Any]) -> Task:
    """Return the task of one row."""
    values = list(row)
    for number in TIMES:
        values[number] = rfc3339(values[number])
    for number, convert in READERS:
        values[number] = convert(values[number])
    return Task(*values)


def to_tasks(rows: Sequence[Sequence[Any]]) -> list[Task]:
    """Return the tasks of many rows, column by column, which is faster than `to_task` for each."""
    if not rows:
        return []
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for number in TIMES:
        columns[number] = all_rfc3339(columns[number])
    for number, convert in READERS:
        columns[number] = list(map(convert, columns[number]))
    return list(map(Task, *columns))


class TaskList(msgspec.Struct, gc=False):
    """Some tasks, in order."""

    tasks: list[Task]
    count: int
    next_cursor: str | None


class TaskStats(msgspec.Struct, gc=False):
    """How many tasks a user has. It has the fields of TaskStatsResponse."""

    total: int
    pending: int
    completed: int


to_json = msgspec.json.Encoder().encode
