"""Requests and responses."""

from datetime import datetime

from sqlmodel import Field, SQLModel


class TaskCreate(SQLModel):
    """A new task."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)


class TaskUpdate(SQLModel):
    """The fields to change."""

    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool | None = None


class TaskResponse(SQLModel):
    """One task."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskStatsResponse(SQLModel):
    """How many tasks a user has."""

    total: int
    pending: int
    completed: int


class TaskListResponse(SQLModel):
    """The tasks of a user."""

    tasks: list[TaskResponse]
    count: int
