"""Bodies and parameters.

The table is never an input type, so that clients can't set its other columns.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from models import DESCRIPTION_LENGTH, TITLE_LENGTH, USER_ID_LENGTH

MAX_ID = 2**63 - 1
MAX_LIMIT = 1000
MAX_SEARCH = 200  # characters
CURSOR = "must be the next_cursor of a list with this sort and order"

# Postgres cannot store a NUL. A title has at least one character that is not white space. White
# space is \s and the other characters that trimming removes.
NOT_BLANK = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"
NO_NUL = r"^[^\x00]*$"


DECIMAL = re.compile(r"-?[0-9]{1,30}")


class Message:
    """The text of an error about a type, whichever rule is broken: `Message("must be even")`.

    Write it after the rules. In the error, the text follows the field's name. It costs nothing for
    valid values.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), "message", custom_error_message=self._text
        )


def _decimal(value: object) -> object:
    """Keep pydantic from reading `1_0`, ` 1` or `1.0` as an integer."""
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        raise ValueError("must be a whole number")
    return value


Decimal = BeforeValidator(_decimal)

UserId = Annotated[
    str,
    Path(
        description="The user whose tasks these are: the `sub` of the token.",
        json_schema_extra={"minLength": 1, "maxLength": USER_ID_LENGTH},
        examples=["user_123"],
    ),
]
TaskId = Annotated[
    int,
    Path(
        ge=1,
        le=MAX_ID,
        description="The task.",
        examples=[1],
    ),
    Decimal,
    Message(f"must be a whole number from 1 to {MAX_ID}"),
]

Title = Annotated[
    str,
    StringConstraints(
        strict=True, strip_whitespace=True, min_length=1, max_length=TITLE_LENGTH, pattern=NOT_BLANK
    ),
    Field(
        description="1 to 200 Unicode characters, after white space at both ends is removed.",
        examples=["Buy milk"],
    ),
]
Description = Annotated[
    str, StringConstraints(strict=True, max_length=DESCRIPTION_LENGTH, pattern=NO_NUL)
]
OptionalDescription = Annotated[
    Description | None,
    Field(description="At most 1000 Unicode characters.", examples=["Two litres, semi-skimmed"]),
]


Completed = Annotated[bool, Field(strict=True)]


class TaskCreate(BaseModel):
    """A new task."""

    title: Title
    description: OptionalDescription = None
    completed: Annotated[Completed, Field(examples=[False])] = False


class TaskUpdate(BaseModel):
    """The fields to change. Fields that are not sent stay unchanged."""

    title: Title | MISSING = MISSING
    description: Annotated[
        Description | MISSING | None,
        Field(description="At most 1000 Unicode characters; null removes it.", examples=[None]),
    ] = MISSING
    completed: Annotated[Completed | MISSING, Field(examples=[True])] = MISSING


class TaskCompletion(BaseModel):
    """The new value of `completed`. Without it, true becomes false, and false becomes true."""

    model_config = ConfigDict(frozen=True)

    completed: Annotated[Completed | MISSING, Field(examples=[True])] = MISSING


Timestamp = Annotated[
    datetime,
    Field(description="RFC 3339, in UTC.", examples=["2026-01-09T12:30:45.123456Z"]),
]


class TaskResponse(BaseModel):
    """A task."""

    # queries.py and serialization.py derive the columns of a row from these fields, in this order.
    # The texts have no length limits, because validators count characters differently. The `id`
    # does not have the format int64, because some generators turn it into a bigint:
    # docs/decisions/016-openapi.md.

    id: Annotated[int, Field(ge=1, examples=[1])]
    user_id: Annotated[str, Field(examples=["user_123"])]
    title: Annotated[str, Field(examples=["Buy milk"])]
    description: Annotated[str | None, Field(examples=["Two litres, semi-skimmed"])]
    completed: Annotated[bool, Field(examples=[False])]
    created_at: Timestamp
    updated_at: Timestamp


class TaskListResponse(BaseModel):
    """All tasks that match the query, or one page of them."""

    tasks: list[TaskResponse]
    count: Annotated[int, Field(ge=0, description="How many are in `tasks`.", examples=[1])]
    next_cursor: Annotated[
        str | None,
        Field(description="The `cursor` of the next page; null on the last.", examples=[None]),
    ]


Status = Literal["all", "pending", "completed"]
Cleared = Literal["completed", "all"]
Sort = Literal["created", "title"]
Order = Literal["asc", "desc"]


# A cursor for the first page by creation, oldest first. It fits the examples of `sort` and `order`.
OLDEST = "WyJjcmVhdGVkIiwiYXNjIiwiMTk3MC0wMS0wMVQwMDowMDowMC4wMDAwMDBaIiwxXQ"


def _boolean(value: object) -> bool:
    """Keep pydantic from reading `1`, `on` or `yes` as a boolean."""
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _as_in_status(completed: bool, info: ValidationInfo) -> bool:
    """Refuse a `completed` that contradicts `status`. With `all`, only `completed` filters."""
    if info.data.get("status") == ("pending" if completed else "completed"):
        raise ValueError("must not contradict status")
    return completed


# Parameters that have no effect, but that clients send when they list tasks: the user id of the
# path again (tasks/query_string.py compares the two), and the time, which jQuery adds to bypass
# caches.
TOLERATED = ("user_id", "_")


def _tolerated(name: str, query: type["StrictQuery"]) -> str:
    """Refuse an unknown parameter with an error that names the known ones.

    If `page=2` were ignored, the client would get the first page again and again.
    """
    if name in TOLERATED:
        return name
    names = ", ".join(query.model_fields)
    known = f"the parameters are {names}" if names else "there are no parameters"
    raise PydanticCustomError("unknown_parameter", f"is unknown; {known}")


class StrictQuery(BaseModel):
    """A query whose only parameters are its fields.

    It works like extra="forbid", except that it accepts the names in TOLERATED. Each subclass must
    declare `__pydantic_extra__` itself, so that the error can list the fields of that subclass.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class TaskQuery(StrictQuery):
    """The filter, order and page of a list of tasks."""

    __pydantic_extra__: dict[
        Annotated[str, AfterValidator(lambda name: _tolerated(name, TaskQuery))], object
    ]

    status: Annotated[Status, Field(description="Which tasks.")] = "all"
    completed: Annotated[
        Annotated[bool, BeforeValidator(_boolean), AfterValidator(_as_in_status)] | None,
        Field(
            description="Another way to write `status`: only completed tasks, or only pending.",
            examples=[False],
        ),
    ] = None
    sort: Annotated[
        Sort,
        BeforeValidator(lambda sort: "created" if sort == "created_at" else sort),
        WithJsonSchema({"type": "string", "enum": ["created", "created_at", "title"]}),
        Field(
            description="By creation (`created` and `created_at` are the same), or by title "
            "without regard to case."
        ),
    ] = "created"
    order: Annotated[
        Order | None,
        Field(description="Absent: newest first by creation, A to Z by title.", examples=["asc"]),
    ] = None
    q: Annotated[
        Annotated[
            str,
            StringConstraints(
                strip_whitespace=True, min_length=1, max_length=MAX_SEARCH, pattern=NOT_BLANK
            ),
        ]
        | None,
        Field(
            description="Only tasks whose title or description contains this, ignoring case. No "
            "character has a special meaning. White space at both ends is removed.",
            examples=["milk"],
        ),
    ] = None
    limit: Annotated[
        Annotated[
            int,
            Field(ge=1, le=MAX_LIMIT),
            Decimal,
            Message(f"must be a whole number from 1 to {MAX_LIMIT}"),
        ]
        | None,
        Field(description="The size of a page. Absent: every task.", examples=[50]),
    ] = None
    cursor: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=4096), Message(CURSOR)] | None,
        Field(
            description="`next_cursor` of the previous page, with the same `sort` and `order`.",
            examples=[OLDEST],
        ),
    ] = None

    @property
    def status_or_completed(self) -> Status:
        """`status`, or the status that `completed` stands for."""
        if self.completed is None:
            return self.status
        return "completed" if self.completed else "pending"

    @property
    def direction(self) -> Order:
        """`order`, or the default order for `sort`."""
        return self.order or ("desc" if self.sort == "created" else "asc")


class StatsQuery(StrictQuery):
    """The query for the numbers of tasks, which has no parameters."""

    __pydantic_extra__: dict[
        Annotated[str, AfterValidator(lambda name: _tolerated(name, StatsQuery))], object
    ]


class DeletionQuery(StrictQuery):
    """Which tasks to delete. There is no default, so that nothing is deleted by accident."""

    __pydantic_extra__: dict[
        Annotated[str, AfterValidator(lambda name: _tolerated(name, DeletionQuery))], object
    ]

    status: Annotated[
        Cleared,
        Field(
            description="`completed` clears the completed tasks. `all` erases every task of the "
            "user, and the records of their idempotency keys.",
            examples=["completed"],
        ),
    ]


class TasksDeletedResponse(BaseModel):
    """How many tasks were deleted."""

    deleted: Annotated[int, Field(ge=0, examples=[1])]


class TaskStatsResponse(BaseModel):
    """How many tasks the user has."""

    total: Annotated[int, Field(ge=0, description="All tasks.", examples=[3])]
    pending: Annotated[int, Field(ge=0, description="The tasks to do.", examples=[2])]
    completed: Annotated[int, Field(ge=0, description="The tasks that are done.", examples=[1])]


class HealthResponse(BaseModel):
    """The service and its database are available."""

    status: Literal["healthy"]
    database: Literal["connected"]
    timestamp: Timestamp


class UnhealthyResponse(BaseModel):
    """The service runs, but its database is unavailable or can't be used as it is."""

    status: Literal["unhealthy"]
    database: Literal["disconnected", "not migrated"]
    timestamp: Timestamp
    detail: str
    code: Literal["DATABASE_UNAVAILABLE", "DATABASE_NOT_MIGRATED"]


class LiveResponse(BaseModel):
    """The process runs."""

    status: Literal["alive"]


class ErrorResponse(BaseModel):
    """Any response with a status of 400 or above."""

    detail: Annotated[str, Field(description="What is wrong, in sentences for a person.")]
    code: Annotated[str, Field(description="A constant for a program.")]


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    field: Annotated[
        str,
        Field(description="Where it is; begins with `body`, `query`, `path` or `header`."),
    ]
    message: Annotated[str, Field(description="What is wrong with it, as a sentence for users.")]


class ValidationErrorResponse(ErrorResponse):
    """The response to input that breaks a rule."""

    errors: Annotated[list[FieldError], Field(description="What is wrong, up to 20 errors.")]
