"""What happens to a request for a task before its operation: who asks, the body, its turn."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from auth import get_current_user
from errors import PayloadTooLarge
from middleware.admission import Admission

MAX_BODY = 64 * 1024  # bytes


class TaskRequest(Request):
    """A request whose body is bounded, and is JSON in the strict sense."""

    async def body(self) -> bytes:
        """The whole body. Raises PayloadTooLarge without reading on."""
        if not hasattr(self, "_body"):
            declared = self.headers.get("content-length", "0")
            chunks, size = [], int(declared) if declared.isdecimal() else 0
            if size > MAX_BODY:
                raise PayloadTooLarge
            size = 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > MAX_BODY:
                    raise PayloadTooLarge
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body's value. Unlike json.loads this refuses NaN and lone surrogates (RFC 8259)."""
        body = await self.body()
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            # The form in which FastAPI expects it; the body itself is not passed on.
            raise json.JSONDecodeError(str(error), "", 0) from None


class TaskRoute(APIRoute):
    """Asks for the token first of all, then takes in the body, then waits for its turn.

    FastAPI by itself reads and parses a body before it asks a dependency anything, and would tell
    an anonymous caller what is wrong with it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        operation = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            await get_current_user(request, request.path_params["user_id"])
            request = TaskRequest(request.scope, request.receive)
            if takes_body:
                await request.body()
            admission: Admission = request.app.state.admission
            async with admission:
                return await operation(request)

        return handle
