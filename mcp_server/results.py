"""What the tools return. The JSON schemas of these models are the tools' output schemas."""

from pydantic import BaseModel, ConfigDict, Field


class Result(BaseModel):
    """A part of a response of the API. Fields that the API adds later are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Task(Result):
    """A task, without `user_id`: every task is the user's own."""

    id: int
    title: str
    description: str | None
    completed: bool
    created_at: str = Field(description="RFC 3339, UTC")
    updated_at: str = Field(description="RFC 3339, UTC")


class TaskPage(Result):
    """A page of a list of tasks."""

    tasks: list[Task]
    count: int = Field(description="How many tasks this page holds.")
    next_cursor: str | None = Field(
        description="Pass it as cursor, with the other arguments unchanged, for the next page. "
        "Null on the last page."
    )


class Stats(Result):
    """How many tasks the user has."""

    total: int
    pending: int
    completed: int


class Deleted(Result):
    """How many tasks were deleted."""

    deleted: int
