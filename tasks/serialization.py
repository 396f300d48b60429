"""Tasks and lists of tasks as the statements return them, and their JSON.

TaskResponse and TaskListResponse in schemas.py document them and have the same fields. A pydantic
model takes several times as long to create from a row and to serialize.
"""

from typing import TYPE_CHECKING

import msgspec

from schemas import TaskResponse


class _Task(msgspec.Struct, gc=False):  # no garbage collection, because it has no cycles
    """A row of `queries.FIELDS`. Its times are RFC 3339 already."""

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


class TaskList(msgspec.Struct, gc=False):
    """Some tasks, in order."""

    tasks: list[Task]
    count: int
    next_cursor: str | None


to_json = msgspec.json.Encoder().encode
