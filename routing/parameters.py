"""The arguments of an operation, out of a request and the operation's signature."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, get_type_hints

from fastapi import Request, params
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from errors import InvalidInput, field_errors
from schemas import FieldError

Dependency = Callable[[Request], Awaitable[Any]]


class Argument(Protocol):
    """One argument that is taken from the request. `place` is where, for errors about it."""

    place: tuple[str, ...]

    async def value(self, request: Request) -> Any:
        """The valid value. Raises pydantic's ValidationError, or InvalidInput."""


class PathArgument:
    """A part of the path."""

    def __init__(self, name: str, annotation: Any) -> None:
        self.place: tuple[str, ...] = ("path", name)
        self._name = name
        self._validate = TypeAdapter(annotation).validator.validate_python

    async def value(self, request: Request) -> Any:
        return self._validate(request.scope["path_params"][self._name])


class QueryArgument:
    """The whole query, as a model."""

    place: tuple[str, ...] = ("query",)

    def __init__(self, annotation: Any) -> None:
        self._validate = TypeAdapter(annotation).validator.validate_python
        self._of_no_query = self._validate({})

    async def value(self, request: Request) -> Any:
        if not request.scope["query_string"]:
            return self._of_no_query
        return self._validate(dict(request.query_params))


class BodyArgument:
    """The body, which is JSON in the strict sense: no NaN and no lone surrogate (RFC 8259)."""

    place: tuple[str, ...] = ("body",)

    def __init__(self, annotation: Any) -> None:
        self._validate = TypeAdapter(annotation).validator.validate_python

    async def value(self, request: Request) -> Any:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise _malformed("must be sent with Content-Type: application/json")
        try:
            value = from_json(await request.body(), allow_inf_nan=False)
        except ValueError as error:
            raise _malformed(f"must be JSON: {error}") from None
        return self._validate(value)


class HeaderArgument:
    """A header, which may be absent: its value is None then."""

    def __init__(self, marker: params.Header, annotation: Any) -> None:
        assert marker.alias is not None
        self.place: tuple[str, ...] = ("header", marker.alias)
        self._name = marker.alias.lower().encode()
        self._validate = TypeAdapter(annotation).validator.validate_python

    async def value(self, request: Request) -> Any:
        lines = [value for name, value in request.scope["headers"] if name == self._name]
        # Several lines are one list (RFC 9110, section 5.3).
        return self._validate(b", ".join(lines).decode("latin-1")) if lines else None


class Arguments:
    """Makes the arguments of `operation` as FastAPI would, but for one kind of signature.

    FastAPI's general solver of dependencies takes as long as the whole statement. Known here are
    the request, parts of the path, one model for the query, one for the body, optional headers, and
    dependencies on the request and on parts of the path.
    """

    def __init__(self, operation: Callable[..., Any]) -> None:
        self.takes_body = False
        self._arguments: dict[str, Argument] = {}
        self._dependencies: dict[str, Dependency] = {}
        hints = get_type_hints(operation, include_extras=True)
        for name in inspect.signature(operation).parameters:
            self._add(name, hints[name])

    def _add(self, name: str, annotation: Any) -> None:
        kinds = (params.Depends, params.Path, params.Query, params.Header)
        markers = [
            part for part in getattr(annotation, "__metadata__", ()) if isinstance(part, kinds)
        ]
        marker = markers[0] if markers else None
        if annotation is Request:
            self._dependencies[name] = _the_request
        elif isinstance(marker, params.Depends):
            assert marker.dependency is not None
            self._dependencies[name] = _dependency(marker.dependency)
        elif isinstance(marker, params.Path):
            self._arguments[name] = PathArgument(name, annotation)
        elif isinstance(marker, params.Query):
            self._arguments[name] = QueryArgument(annotation)
        elif isinstance(marker, params.Header):
            self._arguments[name] = HeaderArgument(marker, annotation)
        else:
            self._arguments[name] = BodyArgument(annotation)
            self.takes_body = True

    async def of(self, request: Request) -> dict[str, Any]:
        """The arguments, by name. Raises InvalidInput with everything that is wrong."""
        values: dict[str, Any] = {}
        wrong: list[FieldError] = []
        for name, argument in self._arguments.items():
            try:
                values[name] = await argument.value(request)
            except ValidationError as error:
                wrong += field_errors(error, argument.place)
            except InvalidInput as error:
                wrong += error.errors
        if wrong:
            raise InvalidInput(*wrong)
        for name, dependency in self._dependencies.items():
            values[name] = await dependency(request)
        return values


async def _the_request(request: Request) -> Request:
    return request


def _dependency(function: Callable[..., Awaitable[Any]]) -> Dependency:
    """`function` as one of the request alone; what else it asks for are parts of the path."""
    names = [name for name in inspect.signature(function).parameters if name != "request"]
    if not names:
        return function

    async def solved(request: Request) -> Any:
        return await function(request, *(request.path_params[name] for name in names))

    return solved


def _malformed(message: str) -> InvalidInput:
    return InvalidInput(FieldError(field="body", message=message))
