"""Limits on the size of a request's body, and on the time in which it must arrive."""

import asyncio
from collections.abc import Awaitable
from typing import Self

from fastapi import Request
from starlette.middleware.body_limit import (
    MAX_BODY_SIZE_SCOPE_KEY,
    RequestBodyLimitResponder,
    _RequestBodyTooLarge,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import PayloadTooLarge, RequestTimeout
from serving.exchange import Exchange

MAX_BODY = 64 * 1024  # bytes
BODY_TIMEOUT = 10.0  # seconds
FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class BodyLimit:
    """Middleware that limits the bodies of requests that FastAPI serves to MAX_BODY.

    A route's own `max_body_size`, larger or smaller, takes precedence. Starlette counts the bytes
    and applies the precedence. Only the response is ours.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Keep the server's own `receive`, because has_hung_up (middleware/errors.py) can't poll one
        # that a middleware puts in its place.
        is_outermost = scope.setdefault("server_receive", receive) is receive
        try:
            await _Limiter(self._app, MAX_BODY)(scope, receive, send)
        finally:
            # FastAPI has closed its stack, so a session that is first used now, such as by an
            # exception handler, must not register there (database.py).
            scope.pop("fastapi_middleware_astack", None)
            if is_outermost:  # `receive` refers to the scope, which would be a cycle
                scope.pop("server_receive", None)


class _Limiter(RequestBodyLimitResponder):
    """Starlette's counter, without its plain-text 413, which would also replace a 401."""

    async def receive_with_limit(self) -> Message:
        try:
            return await super().receive_with_limit()
        except _RequestBodyTooLarge:
            raise _too_large(self.max_body_size) from None

    async def send_with_limit(self, message: Message) -> None:
        self.response_started = True
        await self.send(message)


class SoleErrors:
    """Middleware that takes an error of `receive` out of a group which has only that error.

    Starlette's BaseHTTPMiddleware, which `@app.middleware("http")` adds, receives in a task group.
    A group has no status, so it would be a 500 instead of a 413.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        async def receive_sole() -> Message:
            try:
                return await receive()
            except ExceptionGroup as group:
                raise _sole(group) from None

        return self._app(scope, receive_sole, send)


def _sole(error: Exception) -> Exception:
    """Return the only error in a group, which may be nested, or else the group."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class BoundedRequest(Request):
    """A request whose body is limited in size, and must arrive in time."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return a request that shares the state of `request`: a body that either has read."""
        bounded = cls(request.scope, request.receive)
        bounded.__dict__ = vars(request)
        return bounded

    async def body(self) -> bytes:
        """Return the whole body.

        Raises PayloadTooLarge, without reading the rest, or RequestTimeout.
        """
        if not hasattr(self, "_body"):
            if (body := self._arrived()) is not None:
                self._body = body
                return body
            try:
                async with asyncio.timeout(BODY_TIMEOUT):
                    self._body = await self._received()
            except TimeoutError:
                raise RequestTimeout from None
        return self._body

    def _arrived(self) -> bytes | None:
        """Return the body if it arrived with the head. That saves setting a timer and waiting."""
        exchange = getattr(self._receive, "__self__", None)
        if type(exchange) is not Exchange or self._stream_consumed:
            return None
        body = exchange.take_body(_limit_of(self.scope))
        self._stream_consumed = body is not None
        return body

    @property
    def declares_body(self) -> bool:
        """Whether the headers say that there is a body."""
        return not FRAMING.isdisjoint({name for name, _ in self.scope["headers"]})

    async def _received(self) -> bytes:
        check_length(self.scope)
        limit = _limit_of(self.scope)
        body = b""
        async for chunk in self.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
        return body


def check_length(scope: Scope) -> None:
    """Raise PayloadTooLarge if the declared length is too large, even for an unread body."""
    declared = ""
    for name, value in scope["headers"]:
        if name == b"content-length":
            # Without leading zeros, because int() refuses more than 4,300 digits.
            declared = value.decode("latin-1").lstrip("0")
    limit = _limit_of(scope)
    too_long = len(declared) > len(str(limit))
    if declared.isdecimal() and (too_long or int(declared) > limit):
        raise _too_large(limit)


def _limit_of(scope: Scope) -> int:
    limit: int = scope.get(MAX_BODY_SIZE_SCOPE_KEY, MAX_BODY)
    return limit


def _too_large(limit: int) -> PayloadTooLarge:
    error = PayloadTooLarge()
    if limit != MAX_BODY:
        error.detail = f"The body is larger than {limit} bytes."
    return error
