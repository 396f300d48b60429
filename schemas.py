"""Bodies and parameters. The table is never an input type: clients can't set its other columns."""

import re
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import MISSING, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from models import DESCRIPTION_LENGTH, TITLE_LENGTH, USER_ID_LENGTH

MAX_ID = 2**63 - 1
MAX_LIMIT = 1000

# Postgres cannot store a NUL. A title has at least one character that is not white space. White
# space is \s and the other characters that trimming removes.
NOT_BLANK = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"
NO_NUL = r"^[^\x00]*$"


DECIMAL = re.compile(r"-?[0-9]{1,30}")


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
        lt=MAX_ID + 1,
        description="The task.",
        json_schema_extra={"format": "int64"},
        examples=[1],
    ),
    Decimal,
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


class TaskCreate(BaseModel):
    """A new task."""

    title: Title
    description: OptionalDescription = None


class TaskUpdate(BaseModel):
    """The fields to change; one that is not sent stays as it is."""

    title: Title | MISSING = MISSING
    description: Annotated[
        Description | MISSING | None,
        Field(description="At most 1000 Unicode characters; null removes it.", examples=[None]),
    ] = MISSING
    completed: Annotated[bool | MISSING, Field(strict=True, examples=[True])] = MISSING


Timestamp = Annotated[
    datetime,
    Field(description="RFC 3339, in UTC.", examples=["2026-01-09T12:30:45.123456Z"]),
]


class TaskResponse(BaseModel):
    """A task."""

    # A row has these fields, in this order: queries.py and serialization.py derive from them.

    id: Annotated[int, Field(ge=1, json_schema_extra={"format": "int64"}, examples=[1])]
    user_id: Annotated[str, Field(examples=["user_123"])]
    title: Annotated[str, Field(min_length=1, max_length=TITLE_LENGTH, examples=["Buy milk"])]
    description: Annotated[
        str | None, Field(max_length=DESCRIPTION_LENGTH, examples=["Two litres, semi-skimmed"])
    ]
    completed: Annotated[bool, Field(examples=[False])]
    created_at: Timestamp
    updated_at: Timestamp


class TaskListResponse(BaseModel):
    """All tasks that were asked for, or one page of them."""

    tasks: list[TaskResponse]
    count: Annotated[int, Field(ge=0, description="How many are in `tasks`.", examples=[1])]
    next_cursor: Annotated[
        str | None,
        Field(description="The `cursor` of the next page; null on the last.", examples=[None]),
    ]


Status = Literal["all", "pending", "completed"]
Sort = Literal["created", "title"]
Order = Literal["asc", "desc"]


class TaskQuery(BaseModel):
    """The filter, order and page of a list of tasks."""

    model_config = ConfigDict(frozen=True)

    status: Annotated[Status, Field(description="Which tasks.")] = "all"
    sort: Annotated[Sort, Field(description="By creation, or by title without regard to case.")] = (
        "created"
    )
    order: Annotated[
        Order | None,
        Field(description="Absent: newest first by creation, A to Z by title."),
    ] = None
    limit: Annotated[
        Annotated[int, Field(ge=1, le=MAX_LIMIT), Decimal] | None,
        Field(description="The size of a page. Absent: every task.", examples=[50]),
    ] = None
    cursor: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None,
        Field(description="`next_cursor` of the page before, under the same `sort` and `order`."),
    ] = None

    @property
    def direction(self) -> Order:
        """`order`, or the default order for `sort`."""
        return self.order or ("desc" if self.sort == "created" else "asc")


class HealthResponse(BaseModel):
    """The service and its database are there."""

    status: Literal["healthy"]
    database: Literal["connected"]
    timestamp: Timestamp


class UnhealthyResponse(BaseModel):
    """The service is there, its database is not."""

    status: Literal["unhealthy"]
    database: Literal["disconnected"]
    timestamp: Timestamp
    detail: str
    code: Literal["DATABASE_UNAVAILABLE"]


class LiveResponse(BaseModel):
    """The process is there."""

    status: Literal["alive"]


class ErrorResponse(BaseModel):
    """Any answer of 400 and above."""

    detail: Annotated[str, Field(description="A sentence for a person.")]
    code: Annotated[str, Field(description="A constant for a program.")]


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    field: Annotated[str, Field(description="Where, from `body`, `query`, `path` or `header` on.")]
    message: Annotated[str, Field(description="What is wrong with it.")]


class ValidationErrorResponse(ErrorResponse):
    """An answer to input that breaks a rule."""

    errors: list[FieldError]
