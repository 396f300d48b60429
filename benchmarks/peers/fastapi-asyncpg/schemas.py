"""Requests and responses."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(max_length=1000)]


class TaskCreate(BaseModel):
    """A new task."""

    title: Title
    description: Description | None = None


class TaskUpdate(BaseModel):
    """The fields to change. `model_fields_set` has those that the client sent."""

    model_config = ConfigDict(extra="forbid")

    title: Title = ""
    description: Description | None = None
    completed: bool = False


class TaskResponse(BaseModel):
    """One task."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskListResponse(BaseModel):
    """The tasks of a user."""

    tasks: list[TaskResponse]
    count: int


class TaskStats(BaseModel):
    """How many tasks a user has."""

    total: int
    pending: int
    completed: int
