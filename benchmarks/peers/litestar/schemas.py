"""Requests and responses."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=1000)]


class Task(Struct):
    """One task. The fields have the order of the columns."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskList(Struct):
    """The tasks of a user."""

    tasks: list[Task]
    count: int


class TaskStats(Struct):
    """How many tasks a user has."""

    total: int
    pending: int
    completed: int


class TaskCreate(Struct):
    """A new task."""

    title: Title
    description: Description | None = None


class TaskUpdate(Struct, forbid_unknown_fields=True):
    """The fields to change."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET
