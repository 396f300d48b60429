"""The routes of the tasks: token, body and slot, in this order."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from time import perf_counter
from typing import ClassVar

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute, _effective_route_context_var
from pydantic_core import PydanticUndefined as Undefined
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from auth import CurrentUser, get_current_user
from memory import RESPONSE_PART
from middleware.errors import has_hung_up
from observability.timing import RequestTiming
from routing.admission import Admission, Slot
from routing.annotations import is_plural
from routing.body import BoundedRequest
from routing.late_body import LateRequest, only_model, receive_body, receive_unused
from routing.route import Handler, Route
from schemas import TaskListResponse
from serving.memory_budget import MemoryBudget


class TaskRoute(Route, has_fast_path=True):
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
            await receive_unused(request)
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
        model, lists = only_model(route), _lists(route)

        async def handle_in_order(request: Request) -> Response:
            is_plain = type(request) is Request  # else a subclass has put its own in its place
            _join_lines(request.scope, lists)
            if model is not None and is_plain:
                return await handle(LateRequest.of(request, model.default is not Undefined))
            if route.body_field and get_current_user not in request.app.dependency_overrides:
                # Check the token now, because FastAPI reads the body before it calls dependencies.
                await get_current_user(request, request.path_params["user_id"])
            return await handle(BoundedRequest.of(request) if is_plain else request)

        return handle_in_order


def _included(route: APIRoute) -> APIRoute:
    """Return `route` as the router that is including it now changes it, as FastAPI does."""
    context = _effective_route_context_var.get()
    return route if context is None or context.original_route is not route else context


def _lists(route: APIRoute) -> list[bytes]:
    """Return the names of the headers of which FastAPI would pass only the first line."""
    return [
        field.alias.lower().encode()
        for field in route.dependant.header_params
        if not is_plural(field.field_info.annotation)
    ]


def _join_lines(scope: Scope, names: Sequence[bytes]) -> None:
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
    # There is no budget under a TestClient without `with`, which starts no lifespan.
    return "memory" in request.scope.get("state", ()) and not _memory(request).has_room(
        user_id, RESPONSE_PART
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
    Depends(receive_body),
    Depends(_slot, scope="function"),
)
