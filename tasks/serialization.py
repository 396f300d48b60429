"""A task and a list of them as the statements give them, and their JSON.

TaskResponse and TaskListResponse in schemas.py document them, and these have the same fields.
A model of pydantic takes several times as long to make of a row and to write.
"""

from typing import TYPE_CHECKING

import msgspec

from schemas import TaskResponse


class _Task(msgspec.Struct, gc=False):  # what has no cycle needs no look from the collector
    """A row of `queries.FIELDS`. Its times are RFC 3339 already."""

    if TYPE_CHECKING:  # the fields that the service itself reads
        id: int
        title: str
        created_at: str
        updated_at: str

    @property
    def etag(self) -> str:
        """The entity tag: `updated_at`, in quotes.

        Strong, as `updated_at` is later after every change (RFC 9110, section 8.8.1). Whoever has a
        task out of a list has its entity tag too.
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
