"""Make the arguments of an operation from a request, as the operation's signature declares them."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from fastapi import Request, Response, params
from pydantic import BaseModel, ValidationError

from errors import InvalidInput
from errors.faults import Fault
from errors.wording import faults_of
from routing.annotations import (
    has_lists,
    hints_of,
    is_model,
    is_plural,
    is_unset,
    marker_of,
    plain,
    require,
)
from routing.parameters import (
    BodyParameter,
    HeaderParameter,
    Parameter,
    PathParameter,
    QueryParameter,
)

Dependency = Callable[[Request], Awaitable[Any]]

_VARIADIC = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


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
        require(inspect.iscoroutinefunction(operation))
        hints = hints_of(operation)
        returned = hints.pop("return", None)
        require(isinstance(returned, type) and issubclass(returned, Response))
        for name, parameter in inspect.signature(operation).parameters.items():
            require(name in hints and parameter.kind not in _VARIADIC)
            self._add(name, hints[name], parameter.default)
        kinds = [type(argument) for argument in self._arguments.values()]
        require(kinds.count(BodyParameter) <= 1 and kinds.count(QueryParameter) <= 1)
        functions = [function for function, _ in self._dependencies.values()]
        require(len(functions) == len(set(functions)))  # FastAPI would call it once
        self.takes_body = BodyParameter in kinds

    def _add(self, name: str, annotation: Any, default: Any) -> None:
        marker = marker_of(annotation)
        if isinstance(marker, params.Header):
            require(default is None and marker.alias is not None and not is_plural(annotation))
            # FastAPI passes the lines of a collection one by one, whatever validates them.
            require(self._joins_lines or not is_plural(plain(annotation)))
            assert marker.alias is not None
            self._arguments[name] = HeaderParameter(marker.alias, annotation, self._joins_lines)
            return
        if isinstance(default, BaseModel):
            require(marker is None and is_model(annotation) and is_unset(default, annotation))
            self._arguments[name] = BodyParameter(annotation, default)
            return
        require(default is inspect.Parameter.empty)
        if annotation is Request:
            self._dependencies[name] = _the_request, _the_request
        elif isinstance(marker, params.Depends):
            function = _dependency_of(marker)
            self._dependencies[name] = function, _dependency(function, self._parts)
        elif name in self._parts and isinstance(marker, params.Path | None):
            require(marker is None or marker.alias in (None, name))
            self._arguments[name] = PathParameter(name, annotation)
        elif isinstance(marker, params.Query):
            require(is_model(annotation) and marker.alias is None and not has_lists(annotation))
            self._arguments[name] = QueryParameter(annotation)
        else:
            require(marker is None and is_model(annotation))
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


def _dependency_of(marker: params.Depends) -> Callable[..., Any]:
    require(type(marker) is params.Depends)  # not Security, which has scopes
    require(marker.use_cache and marker.scope is None and marker.max_concurrency is None)
    require(marker.dependency is not None)
    assert marker.dependency is not None
    return marker.dependency


def _dependency(function: Callable[..., Any], parts: Collection[str]) -> Dependency:
    """Return `function` with the request as its only parameter.

    Its other parameters must be parts of the path.
    """
    called = function if inspect.isfunction(function) else type(function).__call__
    require(inspect.iscoroutinefunction(called))
    hints = hints_of(called)
    asked = inspect.signature(function).parameters
    requests = [name for name in asked if hints.get(name) is Request]
    names = [name for name in asked if name not in requests]
    for name in asked:
        require(asked[name].default is inspect.Parameter.empty)
        require(asked[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    require(all(name in parts and _is_text(hints.get(name)) for name in names))
    if list(asked) == requests and len(requests) == 1:
        return function

    async def solved(request: Request) -> Any:
        values = {name: request.scope["path_params"][name] for name in names}
        return await function(**values, **dict.fromkeys(requests, request))

    return solved


def _is_text(annotation: Any) -> bool:
    """Return whether any text is valid for a part of the path, because it has no rules."""
    rules = getattr(annotation, "__metadata__", ())
    return plain(annotation) is str and all(
        isinstance(rule, params.Path) and not rule.metadata and rule.alias is None for rule in rules
    )


async def _the_request(request: Request) -> Request:
    return request
