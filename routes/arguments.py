"""The arguments of an operation, out of a request and the operation's signature."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
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


class Arguments:
    """Makes the arguments of `operation` as FastAPI would, but for one kind of signature.

    FastAPI's general solver of dependencies takes as long as the whole statement. Known here are
    path parameters, one model for the query, one for the body, and dependencies on the request.
    """

    def __init__(self, operation: Callable[..., Any]) -> None:
        self.takes_body = False
        self._arguments: dict[str, Argument] = {}
        self._dependencies: dict[str, Dependency] = {}
        hints = get_type_hints(operation, include_extras=True)
        for name in inspect.signature(operation).parameters:
            self._add(name, hints[name])

    def _add(self, name: str, annotation: Any) -> None:
        marker = next(iter(getattr(annotation, "__metadata__", ())[-1:]), None)
        if isinstance(marker, params.Depends):
            assert marker.dependency is not None
            self._dependencies[name] = marker.dependency
        elif isinstance(marker, params.Path):
            self._arguments[name] = PathArgument(name, annotation)
        elif isinstance(marker, params.Query):
            self._arguments[name] = QueryArgument(annotation)
        else:
            self._arguments[name] = BodyArgument(annotation)
            self.takes_body = True

    async def of(self, request: Request, solved: Mapping[Any, Any]) -> dict[str, Any]:
        """The arguments, by name; `solved` has the values of dependencies that are known already.

        Raises InvalidInput with everything that is wrong with the request.
        """
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
            known = dependency in solved
            values[name] = solved[dependency] if known else await dependency(request)
        return values


def _malformed(message: str) -> InvalidInput:
    return InvalidInput(FieldError(field="body", message=message))
