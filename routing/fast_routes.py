"""Find the fast route for a request before FastAPI's own routing, in the same order of routes."""

from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.routing import _IncludedRouter, iter_route_contexts
from starlette._utils import get_route_path
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import MethodNotAllowed
from routing.body import BoundedRequest
from routing.candidates import Candidate, Search, candidate_of, searches
from routing.paths import path_to_match, restored_parts
from routing.route import FAST, Route


class FastRoutes:
    """An ASGI application that uses the fast path if the route that FastAPI would choose has one.

    `otherwise` serves every other request. It serves all requests while `app.dependency_overrides`
    has entries, or if the application has its own handler for validation errors.
    """

    def __init__(self, app: FastAPI, otherwise: ASGIApp) -> None:
        self._app = app
        self._otherwise = otherwise
        # A developer's own handler expects FastAPI's exception, which the fast path doesn't raise.
        self._enabled = (
            app.exception_handlers.get(RequestValidationError)
            is request_validation_exception_handler
        )
        self._every: list[Candidate] = []
        self._steps: dict[str, list[Search | Candidate]] = {}  # by method
        self._steps_of_others: list[Search | Candidate] = []  # for all other methods
        self._routes: list[Any] = []
        self._routers: list[APIRouter] = []
        self._versions: list[int] = []

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route = self._route_of(scope)
        if route is None:
            return self._otherwise(scope, receive, send)
        if "fastapi.telemetry" in scope:  # FastAPI's own routing tells its span about the route
            scope[FAST] = route
            return self._otherwise(scope, receive, send)
        return route.serve(scope, receive, send)

    def response(self, scope: Scope, receive: Receive) -> Coroutine[Any, Any, Response] | None:
        """Return a coroutine for the response of a fast route, or None if there is no such route.

        After None, call the object itself, which serves every request. This method is for a
        middleware with no other layer between it and this object (middleware/errors.py).
        """
        if "fastapi.telemetry" in scope:
            return None
        route = self._route_of(scope)
        return None if route is None else route.respond(BoundedRequest(scope, receive))

    def _route_of(self, scope: Scope) -> Route | None:
        if scope["type"] != "http" or not self._enabled or self._app.dependency_overrides:
            return None
        path = path_to_match(scope)
        if path is None:
            return None
        self._refresh()
        route_path = path
        if scope.get("root_path"):
            route_path = get_route_path({**scope, "path": path})
        for step in self._steps.get(scope["method"], self._steps_of_others):
            if isinstance(step, Candidate):
                if step.matches(scope)[0] is not Match.NONE:
                    return None
            elif found := step.find(route_path):
                candidate, parameters = found
                if candidate.route is not None:
                    if path is not scope["path"]:
                        parameters = restored_parts(parameters)
                    self._describe(scope, candidate.route, parameters)
                return candidate.route
        self._refuse_method(scope, route_path)
        return None

    def _describe(self, scope: Scope, route: Route, parameters: dict[str, Any]) -> None:
        """Put into `scope` what FastAPI's routing would put there."""
        if outer := scope.get("path_params"):  # of a mount
            parameters = {**outer, **parameters}
        scope["path_params"] = parameters
        scope["endpoint"] = route.endpoint
        scope["route"] = route
        scope.setdefault("router", self._app.router)

    def _refuse_method(self, scope: Scope, route_path: str) -> None:
        """Raise MethodNotAllowed if routes match the path, but not the method.

        Without this the response would be the same, but only after every route had been matched
        with every method (errors/handlers.py).
        """
        others: set[str] = set()
        for candidate in self._every:
            if candidate.pattern is not None and candidate.pattern.match(route_path):
                others |= candidate.methods
        if others:
            raise MethodNotAllowed(others)

    def _refresh(self) -> None:
        """Collect the candidates again if the routes have changed."""
        versions = [router._routes_version for router in self._routers]
        if versions == self._versions and self._app.routes == self._routes:
            return
        self._every = [candidate_of(each) for each in iter_route_contexts(self._app.routes)]
        methods = set().union(*(candidate.methods for candidate in self._every))
        self._steps = {method: self._steps_for(method) for method in methods}
        self._steps_of_others = self._steps_for("")
        self._routes = list(self._app.routes)
        self._routers = list(_routers(self._app.router))
        self._versions = [router._routes_version for router in self._routers]

    def _steps_for(self, method: str) -> list[Search | Candidate]:
        return list(
            searches(each for each in self._every if not each.methods or method in each.methods)
        )


def _routers(router: APIRouter) -> Iterator[APIRouter]:
    """Yield `router` and the routers that it includes."""
    yield router
    for route in router.routes:
        if isinstance(route, _IncludedRouter):
            yield from _routers(route.original_router)
