"""Make the arguments of an operation from a request, as the operation's signature declares them."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, Protocol, get_args, get_origin, get_type_hints

from fastapi import Request, Response, params
from pydantic import BaseModel, PlainValidator, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from errors import InvalidInput
from errors.faults import Fault
from errors.wording import faults_of
from routing.json_body import is_empty, parse_json

# In a query. Parsing thousands of parameters, and saying what is wrong with each, takes 150 ms.
MAX_PARAMETERS = 200
MAX_CACHED_QUERY = 100  # bytes, so that the cache stays small
TOO_MANY = f"must have at most {MAX_PARAMETERS} parameters"

Dependency = Callable[[Request], Awaitable[Any]]


class Unsupported(Exception):
    """The signature has something that only FastAPI itself can provide."""


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
        fields = _plain(annotation).model_fields.items()
        names = [each.validation_alias or each.alias or name for name, each in fields]
        _require(all(isinstance(name, str) for name in names))
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


class ParameterSolver:
    """A solver that makes the arguments of `operation` as FastAPI would, for some signatures.

    FastAPI's general solver of dependencies takes as long as the whole statement. This one supports
    the request, parts of the path, one model for the query, one for the body (whose default may be
    a frozen model with no field set), optional headers, and dependencies on the request and on
    parts of the path. Raises Unsupported for anything else.
    """

    def __init__(
        self, operation: Callable[..., Any], parts: Collection[str], joins_lines: bool = True
    ) -> None:
        self._parts = parts
        self._joins_lines = joins_lines
        self._arguments: dict[str, Parameter] = {}
        self._dependencies: dict[str, tuple[Callable[..., Any], Dependency]] = {}
        _require(inspect.iscoroutinefunction(operation))
        hints = _hints(operation)
        returned = hints.pop("return", None)
        _require(isinstance(returned, type) and issubclass(returned, Response))
        for name, parameter in inspect.signature(operation).parameters.items():
            _require(name in hints and parameter.kind not in _VARIADIC)
            self._add(name, hints[name], parameter.default)
        kinds = [type(argument) for argument in self._arguments.values()]
        _require(kinds.count(BodyParameter) <= 1 and kinds.count(QueryParameter) <= 1)
        functions = [function for function, _ in self._dependencies.values()]
        _require(len(functions) == len(set(functions)))  # FastAPI would call it once
        self.takes_body = BodyParameter in kinds

    def _add(self, name: str, annotation: Any, default: Any) -> None:
        marker = _marker(annotation)
        if isinstance(marker, params.Header):
            _require(default is None and marker.alias is not None and not is_plural(annotation))
            # FastAPI passes the lines of a collection one by one, whatever validates them.
            _require(self._joins_lines or not is_plural(_plain(annotation)))
            assert marker.alias is not None
            self._arguments[name] = HeaderParameter(marker.alias, annotation, self._joins_lines)
            return
        if isinstance(default, BaseModel):
            _require(marker is None and _is_model(annotation) and _is_empty(default, annotation))
            self._arguments[name] = BodyParameter(annotation, default)
            return
        _require(default is inspect.Parameter.empty)
        if annotation is Request:
            self._dependencies[name] = _the_request, _the_request
        elif isinstance(marker, params.Depends):
            function = _dependency_of(marker)
            self._dependencies[name] = function, _dependency(function, self._parts)
        elif name in self._parts and isinstance(marker, params.Path | None):
            _require(marker is None or marker.alias in (None, name))
            self._arguments[name] = PathParameter(name, annotation)
        elif isinstance(marker, params.Query):
            _require(_is_model(annotation) and marker.alias is None and not _has_lists(annotation))
            self._arguments[name] = QueryParameter(annotation)
        else:
            _require(marker is None and _is_model(annotation))
            self._arguments[name] = BodyParameter(annotation)

    async def solve(
        self, request: Request, solved: Mapping[Callable[..., Any], Any] | None = None
    ) -> dict[str, Any]:
        """Return the arguments by name. Raises InvalidInput with everything that is wrong.

        Dependencies are called first, as in FastAPI. If one raises an error, the client gets that
        error, whatever else is wrong. `solved` has the values of those that were already called.
        """
        values: dict[str, Any] = {}
        for name, (function, dependency) in self._dependencies.items():
            if solved and function in solved:
                values[name] = solved[function]
            else:
                values[name] = await dependency(request)
        body = await request.body() if self.takes_body else b""
        wrong: list[Fault] = []
        for name, argument in self._arguments.items():
            try:
                values[name] = argument.value(request, body)
            except ValidationError as error:
                wrong += faults_of(error, argument.location)
        if wrong:
            raise InvalidInput(*wrong)
        return values


_VARIADIC = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def _require(condition: bool) -> None:
    if not condition:
        raise Unsupported


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:  # only FastAPI knows where to look up the name
        raise Unsupported from None


def _marker(annotation: Any) -> Any:
    """Return the part of `annotation` that says where the value comes from, or None."""
    metadata = getattr(annotation, "__metadata__", ())
    kinds = (params.Depends, params.Param, params.Body)
    markers = [part for part in metadata if isinstance(part, kinds)]
    _require(len(markers) < 2)
    return markers[0] if markers else None


def _plain(annotation: Any) -> Any:
    return annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation


def _is_model(annotation: Any) -> bool:
    plain = _plain(annotation)
    return isinstance(plain, type) and issubclass(plain, BaseModel)


def _is_empty(default: BaseModel, annotation: Any) -> bool:
    """Return whether `default` is the model of an empty body, and requests can share it."""
    is_frozen = bool(default.model_config.get("frozen"))
    return type(default) is _plain(annotation) and is_frozen and not default.model_fields_set


def _has_lists(annotation: Any) -> bool:
    """Return whether a field of a model has several values, which FastAPI would collect."""
    return any(is_plural(field.annotation) for field in _plain(annotation).model_fields.values())


def is_plural(annotation: Any) -> bool:
    plain = _plain(annotation)
    if any(isinstance(rule, PlainValidator) for rule in getattr(annotation, "__metadata__", ())):
        return False  # it takes one text, whatever type that is converted to
    if get_args(plain) and not _is_collection(get_origin(plain)):
        return any(is_plural(each) for each in get_args(plain))
    return _is_collection(get_origin(plain) or plain)


def _is_collection(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Sequence | Set) and kind not in (str, bytes)


def _dependency_of(marker: params.Depends) -> Callable[..., Any]:
    _require(type(marker) is params.Depends)  # not Security, which has scopes
    _require(marker.use_cache and marker.scope is None and marker.max_concurrency is None)
    _require(marker.dependency is not None)
    assert marker.dependency is not None
    return marker.dependency


def _dependency(function: Callable[..., Any], parts: Collection[str]) -> Dependency:
    """Return `function` with the request as its only parameter.

    Its other parameters must be parts of the path.
    """
    called = function if inspect.isfunction(function) else type(function).__call__
    _require(inspect.iscoroutinefunction(called))
    hints = _hints(called)
    asked = inspect.signature(function).parameters
    requests = [name for name in asked if hints.get(name) is Request]
    names = [name for name in asked if name not in requests]
    for name in asked:
        _require(asked[name].default is inspect.Parameter.empty)
        _require(asked[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    _require(all(name in parts and _is_text(hints.get(name)) for name in names))
    if list(asked) == requests and len(requests) == 1:
        return function

    async def solved(request: Request) -> Any:
        values = {name: request.scope["path_params"][name] for name in names}
        return await function(**values, **dict.fromkeys(requests, request))

    return solved


def _is_text(annotation: Any) -> bool:
    """Return whether any text is valid for a part of the path, because it has no rules."""
    rules = getattr(annotation, "__metadata__", ())
    return _plain(annotation) is str and all(
        isinstance(rule, params.Path) and not rule.metadata and rule.alias is None for rule in rules
    )


async def _the_request(request: Request) -> Request:
    return request
