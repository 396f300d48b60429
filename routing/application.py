"""FastAPI with the project's own middleware around the routes."""

from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute, compile_path
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from config import Settings
from memory import block_imports
from middleware.cors import CORSMiddleware
from middleware.errors import ErrorsMiddleware, OutermostMiddleware
from routing import openapi
from routing.body import BodyLimit, SoleErrors
from routing.fast_routes import FastRoutes
from routing.served_document import openapi_json
from routing.task_route import TaskRoute

DEFAULT_HANDLERS = (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
NO_WEBSOCKETS = (
    "The WebSocket route {path} can't be served: this service supports only HTTP/1.1 "
    "(serving/protocol.py). Send events over HTTP instead, with a StreamingResponse or an "
    "EventSourceResponse, or serve the route in a separate process."
)
NO_USER_ID = "TaskRoute needs {user_id} in its path; use Route or APIRoute for the route "


class Application(FastAPI):
    """FastAPI with our own middleware: every response has the CORS headers, errors included.

    `state.settings` must be set before the first request.
    """

    _telemetry_enabled = False
    _telemetry_expires = -inf  # when to ask again

    def build_middleware_stack(self) -> ASGIApp:
        """Return the middleware, built from the inside out.

        Middleware that a developer adds runs after CORS and OutermostMiddleware.
        """
        with block_imports("pydantic.v1"):
            refuse_websockets(self.routes)
            refuse_without_user(self.routes)
        settings: Settings = self.state.settings
        handlers, handler = self._added_handlers()
        routes = FastRoutes(self, BodyLimit(AsyncExitStackMiddleware(self.router)))
        app: ASGIApp = routes
        if handlers:
            app = ExceptionMiddleware(app, {HTTPException: _leave, **handlers})
        if self.user_middleware:
            app = ErrorsMiddleware(app, handler)  # so that it sees the response to an error
            for added, arguments, options in reversed(self.user_middleware):
                app = added(SoleErrors(app), *arguments, **options)
            app = BodyLimit(app)
        app = OutermostMiddleware(
            app,
            handler,
            settings.log_requests,
            settings.slow_request_ms or inf,
            routes.response if app is routes else None,
        )
        return CORSMiddleware(app, settings.allowed_origins, settings.origin_pattern)

    def _added_handlers(self) -> tuple[dict[Any, ExceptionHandler], ExceptionHandler | None]:
        """Return the exception handlers that were added, and separately the one for Exception."""
        added: dict[Any, Any] = {
            key: handler
            for key, handler in self.exception_handlers.items()
            if handler not in DEFAULT_HANDLERS
        }
        any_error = added.pop(500, None), added.pop(Exception, None)
        return added, any_error[1] or any_error[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what FastAPI does, in fewer steps if telemetry is off."""
        if scope["type"] == "http" and self.middleware_stack and not self._is_traced(scope):
            if self.root_path:
                scope["root_path"] = self.root_path
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _is_traced(self, scope: Scope) -> bool:
        """Return whether telemetry is on, checked once a second: FastAPI's check takes 5 µs."""
        now = monotonic()
        if now >= self._telemetry_expires:
            self._telemetry_expires = now + 1
            self._telemetry_enabled = self._native_telemetry.enabled()
        return self._telemetry_enabled or "fastapi.telemetry" in scope

    def openapi(self) -> dict[str, Any]:
        return openapi.document(self)

    def setup(self) -> None:
        """Add our route for the OpenAPI document before FastAPI's, which then gets no requests."""
        if self.openapi_url:
            self.add_route(self.openapi_url, openapi_json, include_in_schema=False)
        super().setup()

    # These methods refuse a route that can't be served when it is added.

    def include_router(
        self, router: APIRouter, *arguments: Any, prefix: str = "", **options: Any
    ) -> None:
        refuse_websockets(router.routes)
        refuse_without_user(router.routes, prefix)
        super().include_router(router, *arguments, prefix=prefix, **options)

    def add_api_websocket_route(self, path: str, *arguments: Any, **options: Any) -> None:
        raise RuntimeError(NO_WEBSOCKETS.format(path=path))

    def websocket_route(self, path: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
        raise RuntimeError(NO_WEBSOCKETS.format(path=path))

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        refuse_websockets(getattr(app, "routes", ()))
        super().mount(path, app, name)


def refuse_websockets(routes: Iterable[BaseRoute]) -> None:
    """Raise RuntimeError if one of `routes`, or of those below them, is a WebSocket route."""
    for context in iter_route_contexts(list(routes)):
        route = context.original_route
        if isinstance(route, WebSocketRoute):
            raise RuntimeError(NO_WEBSOCKETS.format(path=context.path))
        refuse_websockets(getattr(route, "routes", None) or ())


def refuse_without_user(routes: Iterable[BaseRoute], prefix: str = "") -> None:
    """Raise RuntimeError if the path of a TaskRoute lacks the user whose token it checks."""
    for context in iter_route_contexts(list(routes)):
        path = f"{prefix}{context.path}"
        if isinstance(context.original_route, TaskRoute) and "user_id" not in compile_path(path)[2]:
            raise RuntimeError(NO_USER_ID + path)


async def _leave(request: Request, error: Exception) -> Response:
    """Raise an exception that has no handler again, for ErrorsMiddleware."""
    raise error
