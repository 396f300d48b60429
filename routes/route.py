"""What happens to a request for a task before its operation: who asks, the body, its turn."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from auth import get_current_user
from errors import PayloadTooLarge
from middleware.admission import Admission

MAX_BODY = 64 * 1024  # bytes


class TaskRequest(Request):
    """A request whose body is bounded, and is JSON in the strict sense."""

    async def body(self) -> bytes:
        """The whole body. Raises PayloadTooLarge without reading on."""
        if "body" not in self.scope:
            declared = self.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > MAX_BODY:
                raise PayloadTooLarge
            body = b""
            async for chunk in self.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise PayloadTooLarge
            self.scope["body"] = body
        return bytes(self.scope["body"])

    async def json(self) -> Any:
        """The body's value. Unlike json.loads this refuses NaN and lone surrogates (RFC 8259)."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            # The form in which FastAPI expects it; the body itself is not passed on.
            raise json.JSONDecodeError(str(error), "", 0) from None


class TaskRoute(APIRoute):
    """Asks for the token first of all, then takes in the body, then waits for its turn.

    FastAPI by itself reads and parses a body before it asks a dependency anything, and would tell
    an anonymous caller what is wrong with it. What waits here for its turn, and that may be a
    thousand requests, has none of FastAPI's own objects yet.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request in, or raises the error that keeps it out."""
        request = TaskRequest(scope, receive)
        await get_current_user(request, scope["path_params"]["user_id"])
        if self.body_field is not None:
            await request.body()
        admission: Admission = scope["app"].state.admission
        async with admission.turn() as scope["turn"]:
            await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The operation. Its turn ends with it, so that a slow reader keeps nobody waiting."""
        operation = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await operation(TaskRequest(request.scope, request.receive))
            finally:
                request.scope["turn"].end()

        return handler
