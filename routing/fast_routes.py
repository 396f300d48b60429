"""Finds the fast routes in front of FastAPI's own routing, in the same order."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.convertors import Convertor
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import MethodNotAllowed
from routing.paths import path_to_match
from routing.route import FAST, Route, restored_parts


class Candidate(NamedTuple):
    """A route of the application, with the prefix and the dependencies that it is included with."""

    route: Route | None  # None: a route that FastAPI serves
    pattern: re.Pattern[str] | None  # None: `matches` tells
    methods: set[str]
    convertors: dict[str, Convertor[Any]]
    matches: Callable[[Scope], tuple[Match, Scope]]


class FastRoutes:
    """Serves a request by the fast path of the route that FastAPI would choose, if that has one.

    `otherwise` gets every other request: those for other routes, and all of them while
    `app.dependency_overrides` has entries or the application has its own form of validation errors.
    """

    def __init__(self, app: FastAPI, otherwise: ASGIApp) -> None:
        self._app = app
        self._otherwise = otherwise
        # A handler of somebody's own wants FastAPI's exception, which the fast path doesn't raise.
        self._enabled = (
            app.exception_handlers.get(RequestValidationError)
            is request_validation_exception_handler
        )
        self._candidates: list[Candidate] = []
        self._routes: list[Any] = []
        self._version = -1

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route = None
        if scope["type"] == "http" and self._enabled and not self._app.dependency_overrides:
            route = self._find(scope)
        if route is None:
            return self._otherwise(scope, receive, send)
        if "fastapi.telemetry" in scope:  # FastAPI's own routing tells its span about the route
            scope[FAST] = route
            return self._otherwise(scope, receive, send)
        return route.serve(scope, receive, send)

    def _find(self, scope: Scope) -> Route | None:
        path = path_to_match(scope)
        if path is None:
            return None
        self._refresh()
        route_path = path
        if scope.get("root_path"):
            route_path = get_route_path({**scope, "path": path})
        method = scope["method"]
        others: set[str] = set()  # methods of the path
        for route, pattern, methods, convertors, matches in self._candidates:
            if pattern is None:
                if matches(scope)[0] is not Match.NONE:
                    return None
            elif match := pattern.match(route_path):
                if method not in methods:
                    others |= methods
                    continue
                if route is not None:
                    parts: dict[str, Any] = match.groupdict()
                    for name in parts:
                        parts[name] = convertors[name].convert(parts[name])
                    if path is not scope["path"]:
                        parts = restored_parts(parts)
                    if outer := scope.get("path_params"):  # of a mount
                        parts = {**outer, **parts}
                    scope["path_params"] = parts
                    scope["endpoint"] = route.endpoint
                    scope["route"] = route
                    scope.setdefault("router", self._app.router)
                return route
        if others:  # FastAPI would come to the same, and ask every route for every method
            raise MethodNotAllowed(others)
        return None

    def _refresh(self) -> None:
        """Look at the routes again if there are others since."""
        version = self._app.router._get_routes_version()
        if version == self._version and self._app.routes == self._routes:
            return
        self._candidates = [_candidate(each) for each in iter_route_contexts(self._app.routes)]
        self._routes = list(self._app.routes)
        self._version = version


def _candidate(context: RouteContext) -> Candidate:
    route = context.original_route
    if not isinstance(route, Route):
        return Candidate(None, None, set(), {}, context.matches)
    return Candidate(
        route if route.is_fast(context) else None,
        context.path_regex,
        context.methods or set(),
        context.param_convertors,
        context.matches,
    )
