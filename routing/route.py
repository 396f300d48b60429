"""From a request to its operation: FastAPI's routes, documented as ever, on a shorter way."""

import asyncio
from time import perf_counter
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from auth import get_current_user
from errors import PayloadTooLarge, RequestTimeout
from middleware.errors import has_hung_up
from observability.timing import Times
from routing.admission import Admission
from routing.parameters import Arguments
from routing.paths import path_to_match, restored

MAX_BODY = 64 * 1024  # bytes
BODY_TIMEOUT = 10.0  # seconds


class BoundedRequest(Request):
    """A request whose body is bounded, in size and in time."""

    async def body(self) -> bytes:
        """The whole body. Raises PayloadTooLarge without reading on, and RequestTimeout."""
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(BODY_TIMEOUT):
                    self._body = await self._received()
            except TimeoutError:
                raise RequestTimeout from None
        return self._body

    def check_length(self) -> None:
        """Raises PayloadTooLarge if a longer body is declared, whether anybody reads it or not."""
        # Without leading zeros, because int() refuses more than 4,300 digits.
        declared = self.headers.get("content-length", "").lstrip("0")
        too_long = len(declared) > len(str(MAX_BODY))
        if declared.isdecimal() and (too_long or int(declared) > MAX_BODY):
            raise PayloadTooLarge

    async def _received(self) -> bytes:
        self.check_length()
        body = b""
        async for chunk in self.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise PayloadTooLarge
        return body


class Route(APIRoute):
    """Calls its endpoint with the arguments that its signature asks for (parameters.py)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.arguments = Arguments(self.endpoint)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the path as it was sent, where `%2F` is a character of a part, not a separator."""
        path = path_to_match(scope)
        if path is None:
            return Match.NONE, {}
        if path is scope["path"]:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": path})
        if parameters := found.get("path_params"):
            found["path_params"] = {
                name: restored(value) if isinstance(value, str) else value
                for name, value in parameters.items()
            }
        return match, found

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, or raises what middleware/errors.py answers."""
        response = await self.answer(BoundedRequest(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: BoundedRequest) -> Response:
        """What the operation answers."""
        if request.method not in (self.methods or ()):
            raise HTTPException(405)
        response: Response = await self.endpoint(**await self.arguments.of(request))
        return response


class TaskRoute(Route):
    """Asks for the token first of all, then takes in the body, then waits for its turn.

    FastAPI by itself reads and parses a body before it asks a dependency anything, and would tell
    an anonymous caller what is wrong with it. What waits here, and that may be a thousand requests,
    has none of the objects yet that an operation needs.
    """

    async def answer(self, request: BoundedRequest) -> Response:
        """What the operation answers.

        The turn is over before that is sent: a slow reader keeps nobody waiting.
        """
        user_id = await get_current_user(request, request.path_params["user_id"])
        if self.arguments.takes_body or "transfer-encoding" in request.headers:
            await request.body()
        else:
            request.check_length()
        admission: Admission = request.app.state.admission
        times = request.scope["times"] = Times()
        had_to_wait = await admission.acquire(user_id)
        try:
            times.granted = perf_counter()
            if had_to_wait and has_hung_up(request.receive):
                # Nothing was done yet, and nobody would hear of it. A client that sends its request
                # again and again would otherwise have each of them executed before the last.
                raise ClientDisconnect
            return await super().answer(request)
        finally:
            admission.release(user_id)
