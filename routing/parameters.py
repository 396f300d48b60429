"""The kinds of argument that the fast path can make from a request."""

from functools import lru_cache
from typing import Any, Protocol

from fastapi import Request
from pydantic import BaseModel, TypeAdapter
from starlette.datastructures import QueryParams

from errors import InvalidInput
from errors.faults import Fault
from routing.annotations import plain, require
from routing.json_body import is_empty, parse_json

# In a query. Parsing thousands of parameters, and saying what is wrong with each, takes 150 ms.
MAX_PARAMETERS = 200
MAX_CACHED_QUERY = 100  # bytes, so that the cache stays small
TOO_MANY = f"must have at most {MAX_PARAMETERS} parameters"


class Parameter(Protocol):
    """One argument that comes from the request. Errors about it name its `location`."""

    location: tuple[str, ...]

    def value(self, request: Request, body: bytes) -> Any:
        """Return the validated value. Raises pydantic's ValidationError."""


class PathParameter:
    """A part of the path."""

    def __init__(self, name: str, annotation: Any) -> None:
        self.location: tuple[str, ...] = ("path", name)
        self._name = name
        self._validate = TypeAdapter(annotation).validator.validate_python

    def value(self, request: Request, body: bytes) -> Any:
        return self._validate(request.scope["path_params"][self._name])


class QueryParameter:
    """The whole query, as a model."""

    location: tuple[str, ...] = ("query",)

    def __init__(self, annotation: Any) -> None:
        self._validate = TypeAdapter(annotation).validator.validate_python
        fields = plain(annotation).model_fields.items()
        names = [each.validation_alias or each.alias or name for name, each in fields]
        require(all(isinstance(name, str) for name in names))
        self._known = frozenset(names)

    def value(self, request: Request, body: bytes) -> Any:
        text = request.scope["query_string"]
        if len(text) <= MAX_CACHED_QUERY:
            sent = _parsed(text)
        elif text.count(b"&") >= MAX_PARAMETERS:
            raise InvalidInput(Fault("query", TOO_MANY))
        else:
            sent = request.query_params
        values: dict[str, Any] = dict(sent)  # a copy, because a validator may change it
        if text.count(b"&") >= len(values):
            values |= self._lists(sent)
        return self._validate(values)

    def _lists(self, sent: QueryParams) -> dict[str, list[str]]:
        """Return the values of each name that the model does not have and that was sent again."""
        others = {name: sent.getlist(name) for name in sent if name not in self._known}
        return {name: values for name, values in others.items() if len(values) > 1}


@lru_cache(256)
def _parsed(text: bytes) -> QueryParams:
    """Return the parameters of a query.

    Parsing them takes 6 µs, and most requests have the same query as an earlier one.
    """
    return QueryParams(text)


class BodyParameter:
    """The body, which is JSON (routing/json_body.py)."""

    location: tuple[str, ...] = ("body",)

    def __init__(self, annotation: Any, default: BaseModel | None = None) -> None:
        self._validate = TypeAdapter(annotation).validator.validate_python
        self.default = (
            default  # used if the body is absent or null, as in FastAPI; None: it is required
        )

    def value(self, request: Request, body: bytes) -> Any:
        if self.default is None:
            return self._validate(parse_json(request, body))
        if is_empty(body) or (value := parse_json(request, body)) is None:
            return self.default
        return self._validate(value)


class HeaderParameter:
    """An optional header. Its value is None if it is absent.

    It is the first of several lines, as in FastAPI, unless they are one list (`is_list`).
    """

    def __init__(self, alias: str, annotation: Any, is_list: bool) -> None:
        self.location: tuple[str, ...] = ("header", alias)
        self._name = alias.lower().encode()
        self._lines = None if is_list else 1
        self._validate = TypeAdapter(annotation).validator.validate_python

    def value(self, request: Request, body: bytes) -> Any:
        own = self._name
        lines = [value for name, value in request.scope["headers"] if name == own]
        if not lines:
            return None
        # Several lines are one list (RFC 9110, section 5.3).
        return self._validate(b", ".join(lines[: self._lines]).decode("latin-1"))
