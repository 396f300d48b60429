"""Values of fields that psycopg2 or msgspec can't convert, and fields that can't be stored."""

from enum import Enum
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import ARRAY, Column, DateTime, String, Text, TypeDecorator, Uuid
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import JSONB

from schemas import TaskResponse
from tasks import queries, serialization
from tasks.conversion import reader, writer


class Mood(Enum):
    GOOD = "good"


class Place(BaseModel):
    name: str


class Reversed(TypeDecorator[str]):
    """A developer's own type of column."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value[::-1]

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value[::-1]


def test_the_fields_of_the_service_need_no_conversion() -> None:
    """A conversion would add to the time of each request."""
    names = list(TaskResponse.model_fields)
    read = {names[number] for number, _ in serialization.READERS}
    assert {"title", "description", "completed"}.isdisjoint(queries.WRITERS)
    assert {"id", "user_id", "title", "description", "completed"}.isdisjoint(read)


@pytest.mark.parametrize(
    ("kind", "annotation", "value", "stored", "read"),
    [
        (JSONB, list[str], [], "[]", []),
        (JSONB, Place, {"name": "x"}, '{"name":"x"}', {"name": "x"}),
        (EnumType(Mood), Mood, Mood.GOOD, "GOOD", "good"),
        (Text, Mood | None, Mood.GOOD, "good", "good"),
        (Text, IPv4Address, IPv4Address("127.0.0.1"), "127.0.0.1", "127.0.0.1"),
        (Reversed, str, "abc", "cba", "abc"),
        (ARRAY(Uuid), list[UUID], [UUID(int=1)], [UUID(int=1)], [str(UUID(int=1))]),
    ],
)
def test_a_value_is_converted_for_the_database_and_for_json(
    kind: Any, annotation: Any, value: Any, stored: Any, read: Any
) -> None:
    column: Column[Any] = Column("mood", kind)
    write = writer(column, annotation)
    from_row = reader(column, FieldInfo(annotation=annotation))
    assert write is not None
    assert from_row is not None
    assert (write(value), write(None), from_row(None)) == (stored, None, None)
    row = read if kind is JSONB else stored  # psycopg2 parses JSON
    assert from_row(row) == read


@pytest.mark.parametrize(
    ("kind", "annotation", "reason"),
    [
        (ARRAY(JSONB), list[dict[str, str]], "is an array of enums or JSON"),
        (ARRAY(EnumType(Mood)), list[Mood], "is an array of enums or JSON"),
        (DateTime, Any, "has times without a zone"),
        (Text, dict[str, str], "needs sa_type=JSONB"),
        (Text, Place | None, "needs sa_type=JSONB"),
    ],
)
def test_a_field_that_cannot_be_stored_is_refused(kind: Any, annotation: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=rf"^The field mood of models\.Task .*{reason}"):
        writer(Column("mood", kind), annotation)
