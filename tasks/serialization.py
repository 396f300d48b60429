"""A task and a list of them as the statements give them, and their JSON.

What is documented are TaskResponse and TaskListResponse in schemas.py, and these have their fields.
A model of pydantic takes several times as long to make of a row and to write.
"""

import msgspec


class Task(msgspec.Struct, gc=False):  # what has no cycle needs no look from the collector
    """A row of `statements.FIELDS`. Its times are RFC 3339 already."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: str
    updated_at: str

    @property
    def etag(self) -> str:
        """The entity tag: `updated_at`, in quotes.

        Strong, as `updated_at` is later after every change (RFC 9110, section 8.8.1). Whoever has a
        task out of a list has its entity tag too.
        """
        return f'"{self.updated_at}"'


class TaskList(msgspec.Struct, gc=False):
    """Some tasks, in order."""

    tasks: list[Task]
    count: int
    next_cursor: str | None


to_json = msgspec.json.Encoder().encode
