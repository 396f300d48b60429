"""FastAPI's routes with a shorter path from a request to its operation: the fast path."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import takewhile
from time import perf_counter
from typing import Any, ClassVar

from fastapi import Depends, Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, RouteContext, _effective_route_context_var
from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined as Undefined
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from auth import CurrentUser, get_current_user
from errors import InvalidInput
from errors.faults import Fault
from errors.wording import TEXTS
from memory import RESPONSE_PART
from middleware.errors import EXIT_STACK, has_hung_up
from observability.timing import RequestTiming
from routing.admission import Admission, Slot
from routing.body import BoundedRequest, LateRequest, check_length
from routing.json_body import is_empty, parse_json
from routing.parameters import ParameterSolver, Unsupported, is_plural
from routing.paths import path_to_match, restored
from routing.response_memory import reserved_memory, response_memory
from schemas import TaskListResponse
from serving.memory_budget import MemoryBudget

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
FAST = "fast_route"  # in the scope: the route that FastRoutes found


class Route(APIRoute):
    """A route that calls its operation with arguments from ParameterSolver (routing/parameters.py).

    That is the fast path. The route uses it only if FastAPI would do the same (`is_fast`). FastAPI
    serves everything else.
    """

    # Dependencies whose work the fast path does itself.
    own_dependencies: ClassVar[Sequence[params.Depends]] = ()
    joins_lines: ClassVar[bool] = False  # whether the lines of a header are one list

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
            and type(self) in (Route, TaskRoute, DocumentationRoute)  # others may override methods
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


class DocumentationRoute(Route):
    """A route with a large response for clients without a token. It waits for memory first."""

    own_dependencies = (Depends(response_memory, scope="function"),)

    async def respond(self, request: BoundedRequest) -> Response:
        """Call the operation, on the fast path."""
        async with reserved_memory(request):
            return await self.call(request)


class TaskRoute(Route):
    """A route that checks the token first, then receives the body, and then waits for a slot.

    FastAPI alone reads and parses a body before it calls a dependency, and would tell an anonymous
    client what is wrong with the body. A thousand requests may wait for a slot. They stay small,
    because the objects that an operation needs are made only after that.
    """

    joins_lines: ClassVar[bool] = True

    @property
    def slash_is_optional(self) -> bool:
        """True, except for the DELETE of a collection.

        A client that sends an empty id wants to delete one task, and must not delete all of them.
        """
        return "DELETE" not in (self.methods or ()) or self.path.endswith("}")

    @cached_property
    def returns_list(self) -> bool:
        """Whether the response is a list, which has as many tasks as the client asks for."""
        return self.response_model is TaskListResponse

    async def respond(self, request: BoundedRequest) -> Response:
        """Call the operation, on the fast path.

        The slot is released before the response is sent, so that no request waits for a client that
        reads slowly. `Session.fetch` may release it earlier.
        """
        assert self.arguments is not None
        user_id = await get_current_user(request, request.scope["path_params"]["user_id"])
        if self.arguments.takes_body:
            await request.body()
        elif request.declares_body:
            await _receive_unused(request)
        admission: Admission = request.app.state.admission
        slot, hold = await _enter(admission, request, user_id), None
        try:
            if self.returns_list and _is_short_of_memory(request, user_id):
                # The list may be large. Others can use the slot while this request waits for
                # memory.
                slot.release()
                hold = await _memory(request).acquire(user_id, RESPONSE_PART)
                slot = await _enter(admission, request, user_id)
            return await self.call(request, solved={get_current_user: user_id})
        finally:
            slot.release()
            if hold is not None:
                hold.release()

    def get_route_handler(self) -> Handler:
        """Return FastAPI's own handler. `own_dependencies` run first, in the fast path's order."""
        handle = APIRoute.get_route_handler(self)
        route = _included(self)
        model, lists = _only_model(route), _lists(route)

        async def handle_in_order(request: Request) -> Response:
            is_plain = type(request) is Request  # else a subclass has put its own in its place
            join_lines(request.scope, lists)
            if model is not None and is_plain:
                return await handle(LateRequest.of(request, model.default is not Undefined))
            if route.body_field and get_current_user not in request.app.dependency_overrides:
                # Check the token now, because FastAPI reads the body before it calls dependencies.
                await get_current_user(request, request.path_params["user_id"])
            return await handle(BoundedRequest.of(request) if is_plain else request)

        return handle_in_order


def restored_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """Return path parameters with the slashes and newlines that `path_to_match` replaced."""
    return {
        name: restored(value) if isinstance(value, str) else value for name, value in parts.items()
    }


def _included(route: APIRoute) -> APIRoute:
    """Return `route` as the router that is including it now changes it, as FastAPI does."""
    context = _effective_route_context_var.get()
    return route if context is None or context.original_route is not route else context


def _only_model(route: APIRoute) -> Any:
    """Return the parameter for the body if the body is one JSON model, else None.

    Its default, if it has one, must be an empty model, because FastAPI gets an empty object instead
    of an empty body.
    """
    field: Any = route.body_field
    if field is None or route._embed_body_fields or isinstance(field.field_info, params.Form):
        return None
    # LateBody is still empty while the dependencies before our own are solved.
    before = list(takewhile(lambda each: each.call is not _body, route.dependant.dependencies))
    is_early = len(before) == len(route.dependant.dependencies) or any(map(_reads_body, before))
    kind, default = field.field_info.annotation, field.default
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    is_object = is_model and not issubclass(kind, RootModel)
    is_empty = default is Undefined or (type(default) is kind and not default.model_fields_set)
    return field if is_object and is_empty and not is_early else None


def _reads_body(dependant: Any) -> bool:
    return bool(dependant.body_params) or any(map(_reads_body, dependant.dependencies))


def _lists(route: APIRoute) -> list[bytes]:
    """Return the names of the headers of which FastAPI would pass only the first line."""
    return [
        field.alias.lower().encode()
        for field in route.dependant.header_params
        if not is_plural(field.field_info.annotation)
    ]


def join_lines(scope: Scope, names: Sequence[bytes] | Any) -> None:
    """Join the lines of each header in `names`, which are lists (RFC 9110, section 5.3)."""
    for name in names:
        lines = [value for header, value in scope["headers"] if header == name]
        if len(lines) > 1:
            others = [header for header in scope["headers"] if header[0] != name]
            scope["headers"] = [*others, (name, b", ".join(lines))]


async def _enter(admission: Admission, request: Request, user_id: str) -> Slot:
    """Wait for a slot, which must be released. Raises Admission's errors and ClientDisconnect."""
    scope = request.scope
    timing = scope["timing"] = RequestTiming()
    if await admission.acquire(user_id, is_read=scope["method"] in ("GET", "HEAD")):
        timing.admitted_at = perf_counter()
        if has_hung_up(scope.get("server_receive", request.receive)):
            # The client has left, and nothing has been executed yet. Without this check, a client
            # that disconnects and repeats its request many times would have each of them executed.
            admission.release(user_id)
            raise ClientDisconnect
    else:
        timing.admitted_at = timing.queued_at
    slot = scope["slot"] = Slot(admission, user_id)
    return slot


def _memory(request: Request) -> MemoryBudget:
    memory: MemoryBudget = request.scope["state"]["memory"]
    return memory


def _is_short_of_memory(request: Request, user_id: str) -> bool:
    """Return whether responses that clients have not read leave no memory for a part of a list."""
    # A TestClient without `with` starts no lifespan, so there is no budget.
    return "memory" in request.scope.get("state", ()) and not _memory(request).has_room(
        user_id, RESPONSE_PART
    )


async def _receive_unused(request: Request) -> None:
    """Receive a body that the operation does not use, or check its declared length."""
    if "transfer-encoding" in request.headers:
        if not request._stream_consumed:  # FastAPI has read a form
            await request.body()
    else:
        check_length(request.scope)


async def _body(request: Request) -> None:
    if isinstance(request, LateRequest):
        await _fill(request)
    else:
        await _receive_unused(request)


async def _fill(request: LateRequest) -> None:
    """Receive the body, and fill the object that FastAPI got in its place."""
    body = await request.body()
    if request.body_is_optional and is_empty(body):
        return
    try:
        value = parse_json(request, body)
    except InvalidInput as malformed:
        raise _as_fastapi_would(*malformed.faults) from None
    if value is None and request.body_is_optional:
        return
    if not isinstance(value, dict):
        raise _as_fastapi_would(Fault("body", TEXTS["model_type"]))
    request.late.update(value)


def _as_fastapi_would(*faults: Fault) -> RequestValidationError:
    """Return `faults` as FastAPI's exception, for which the application may have a handler."""
    return RequestValidationError(
        [
            {"type": "body", "loc": tuple(field.split(".")), "msg": text, "input": None}
            for field, text in faults
        ]
    )


async def _slot(request: Request, user_id: CurrentUser) -> AsyncIterator[None]:
    request.scope["user_id"] = user_id
    admission: Admission | None = getattr(request.app.state, "admission", None)
    if admission is None:  # a TestClient without `with` starts no lifespan
        yield
        return
    slot = await _enter(admission, request, user_id)
    try:
        yield
    finally:
        slot.release()


TaskRoute.own_dependencies = (
    Depends(get_current_user),
    Depends(_body),
    Depends(_slot, scope="function"),
)
