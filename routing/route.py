"""FastAPI's routes with a shorter path from a request to its operation: the fast path."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from fastapi import Depends, Request, Response, params
from fastapi.routing import APIRoute, RouteContext
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from middleware.errors import EXIT_STACK
from routing.annotations import Unsupported
from routing.body import BoundedRequest
from routing.paths import path_to_match, restored_parts
from routing.response_memory import reserved_memory, response_memory
from routing.solver import ParameterSolver

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
FAST = "fast_route"  # in the scope: the route that FastRoutes found


class Route(APIRoute):
    """A route that calls its operation with arguments from ParameterSolver (routing/solver.py).

    That is the fast path. The route uses it only if FastAPI would do the same (`is_fast`). FastAPI
    serves everything else.
    """

    # Dependencies whose work the fast path does itself.
    own_dependencies: ClassVar[Sequence[params.Depends]] = ()
    joins_lines: ClassVar[bool] = False  # whether the lines of a header are one list
    has_fast_path: ClassVar[bool] = True

    def __init_subclass__(cls, *, has_fast_path: bool = False, **options: Any) -> None:
        """Leave a developer's subclass to FastAPI, because it may override FastAPI's methods."""
        super().__init_subclass__(**options)
        cls.has_fast_path = has_fast_path

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        **options: Any,
    ) -> None:
        every = [*self.own_dependencies, *(dependencies or ())]
        super().__init__(path, endpoint, dependencies=every, **options)
        self.arguments: ParameterSolver | None = None
        with suppress(Unsupported):
            self.arguments = ParameterSolver(endpoint, self.param_convertors, self.joins_lines)

    def is_fast(self, context: RouteContext) -> bool:
        """Return whether the fast path does everything that FastAPI would do for this route.

        `context` says how the route is included.
        """
        strict = context.strict_content_type
        return (
            self.arguments is not None
            and self.has_fast_path
            and list(context.dependencies) == list(self.own_dependencies)
            and context.max_body_size is None
            and getattr(strict, "value", strict) is True
        )

    @property
    def slash_is_optional(self) -> bool:
        """Whether the path may end with one more slash."""
        return False

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the path as it was sent, where `%2F` belongs to a part and is not a separator."""
        path = path_to_match(scope)
        if path is None:
            return Match.NONE, {}
        if self.slash_is_optional:
            path = path.removesuffix("/")
        if path is scope["path"]:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": path})
        if parameters := found.get("path_params"):
            found["path_params"] = restored_parts(parameters)
        return match, found

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, or raise an exception that middleware/errors.py converts to one."""
        if scope.pop(FAST, None) is self:
            await self.serve(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what `handle` does, on the fast path."""
        outer = scope.pop(EXIT_STACK, None)  # of a session that a middleware is using
        try:
            response = await self.respond(BoundedRequest(scope, receive))
            await response(scope, receive, send)
        finally:
            if EXIT_STACK in scope:
                await scope.pop(EXIT_STACK).aclose()
            if outer is not None:
                scope[EXIT_STACK] = outer

    async def respond(self, request: BoundedRequest) -> Response:
        """Call the operation, on the fast path."""
        return await self.call(request)

    async def call(self, request: BoundedRequest, **solved: Any) -> Response:
        assert self.arguments is not None
        response: Response = await self.endpoint(**await self.arguments.solve(request, **solved))
        return response

    def get_route_handler(self) -> Handler:
        """Return FastAPI's own handler, with a limit on the time in which the body must arrive."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            is_plain = type(request) is Request  # else a subclass has put its own in its place
            return await handle(BoundedRequest.of(request) if is_plain else request)

        return handle_bounded


class DocumentationRoute(Route, has_fast_path=True):
    """A route with a large response for clients without a token. It waits for memory first."""

    own_dependencies = (Depends(response_memory, scope="function"),)

    async def respond(self, request: BoundedRequest) -> Response:
        """Call the operation, on the fast path."""
        async with reserved_memory(request):
            return await self.call(request)
