"""What happens to a request for a task before its operation: who asks, the body, its turn."""

from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from auth import get_current_user
from errors import PayloadTooLarge
from middleware.admission import Admission
from routes.arguments import Arguments

MAX_BODY = 64 * 1024  # bytes


class TaskRequest(Request):
    """A request whose body is bounded."""

    async def body(self) -> bytes:
        """The whole body. Raises PayloadTooLarge without reading on."""
        if not hasattr(self, "_body"):
            declared = self.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > MAX_BODY:
                raise PayloadTooLarge
            body = b""
            async for chunk in self.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise PayloadTooLarge
            self._body = body
        return self._body


class TaskRoute(APIRoute):
    """FastAPI's route, documented as ever, with a shorter way from the request to the operation.

    It asks for the token first of all, then takes in the body, then waits for its turn. FastAPI by
    itself reads and parses a body before it asks a dependency anything, and would tell an anonymous
    caller what is wrong with it. What waits here, and that may be a thousand requests, has none of
    the objects yet that an operation needs.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arguments = Arguments(self.endpoint)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, or raises what errors.py answers."""
        request = TaskRequest(scope, receive)
        user_id = await get_current_user(request, scope["path_params"]["user_id"])
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405)
        if self._arguments.takes_body:
            await request.body()
        admission: Admission = scope["app"].state.admission
        async with admission:
            arguments = await self._arguments.of(request, {get_current_user: user_id})
            response = await self.endpoint(**arguments)
        # The turn is over before the answer is sent: a slow reader keeps nobody waiting.
        await response(scope, receive, send)
