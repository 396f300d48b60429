"""Convert the values of fields whose type in Python, Postgres or JSON needs it.

psycopg2 and msgspec convert text, numbers, booleans and dates themselves, so a column of these
types has no converter. The others do what SQLAlchemy and FastAPI would do.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_json, to_jsonable_python
from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from postgres.dialect import DIALECT

Converter = Callable[[Any], Any]

_NO_VALUES = (type(None), UnionType, Union)
PLAIN = {str, int, bool, float, date, datetime}  # the driver and msgspec convert these
PLAIN_COLUMNS = (String, Integer, Boolean, Float, Date, DateTime)
ADAPTED = PLAIN | {bytes, Decimal, time, timedelta, UUID, list}  # psycopg2 can send these


def writer(column: Column[Any], annotation: Any) -> Converter | None:
    """Return what converts the values of a field for psycopg2, or None if nothing has to.

    Raises TypeError if the service can't store the field in `column`.
    """
    kind = _kind(column)
    _check(column, kind)
    if isinstance(column.type, JSON):
        return _unless_none(lambda value: to_json(value).decode())
    types = set(types_in(annotation))
    if _is_plain(column, kind, types):
        return None
    processor = column.type.dialect_impl(DIALECT).bind_processor(DIALECT)
    if processor is not None:
        return _unless_none(processor)
    if any(issubclass(each, dict | BaseModel) for each in types):
        raise _refused(column, "has an object as its value, so it needs sa_type=JSONB")
    return None if types <= ADAPTED else _unless_none(to_jsonable_python)


def reader(column: Column[Any], field: FieldInfo) -> Converter | None:
    """Return what converts the values of `column` for JSON, or None if nothing has to.

    The result is as FastAPI would write a response model with this field.
    """
    kind = _kind(column)
    _check(column, kind)
    if _is_plain(column, kind, set(types_in(field.annotation))):
        return None
    model = create_model("Field", value=(field.rebuild_annotation(), ...))
    processor = None
    if not isinstance(kind, Numeric):  # psycopg2 converts numbers
        processor = column.type.dialect_impl(DIALECT).result_processor(DIALECT, None)

    def read(value: Any) -> Any:
        value = value if processor is None else processor(value)
        return model.model_validate({"value": value}).model_dump(mode="json")["value"]

    return _unless_none(read)


def _kind(column: Column[Any]) -> TypeEngine[Any]:
    """Return the type of `column` in Postgres, without the decorator of SQLModel or a developer."""
    kind = column.type.dialect_impl(DIALECT)
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _is_plain(column: Column[Any], kind: TypeEngine[Any], types: set[type]) -> bool:
    """Return whether psycopg2 and msgspec convert a field with these types by themselves."""
    if isinstance(kind, Enum) or not isinstance(kind, PLAIN_COLUMNS) or not types <= PLAIN:
        return False
    if isinstance(kind, DateTime) or not isinstance(column.type, TypeDecorator):
        return True
    impl = column.type.dialect_impl(DIALECT)  # a developer's own type may encrypt a text, say
    return impl.bind_processor(DIALECT) is None and impl.result_processor(DIALECT, None) is None


def _check(column: Column[Any], kind: TypeEngine[Any]) -> None:
    """Raise TypeError if a prepared statement can't have values of this type, or lose their zone.

    psycopg2 sends an array as text[], which Postgres does not convert to an array of these types.
    """
    item = kind.item_type if isinstance(kind, ARRAY) else None
    if isinstance(item, Enum | JSON):
        raise _refused(column, "is an array of enums or JSON, so use sa_type=JSONB instead")
    if isinstance(kind, DateTime) and not kind.timezone:
        raise _refused(column, "has times without a zone, so use sa_type=DateTime(timezone=True)")


def _refused(column: Column[Any], reason: str) -> TypeError:
    return TypeError(f"The field {column.name} of models.Task {reason}.")


def _unless_none(convert: Converter) -> Converter:
    """Return `convert` for values other than None, which is NULL in every column."""
    return lambda value: None if value is None else convert(value)


def types_in(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation names, except None."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin is Annotated:
        yield from types_in(get_args(annotation)[0])
    else:
        for each in (annotation, origin):
            if isinstance(each, type) and get_origin(each) is None and each not in _NO_VALUES:
                yield each
        for part in get_args(annotation):
            yield from types_in(part)
