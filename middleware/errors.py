"""Middleware that turns an exception into a response, and logs requests."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from math import inf
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette._utils import is_async_callable
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from errors import APIError, Overloaded
from errors.handlers import api_error
from middleware.response_headers import complete
from observability import logs
from observability.instruments import record_error
from observability.timing import SlowRequests

# Returns the response of a fast route (routing/fast_routes.py), or None if no such route serves the
# request.
FastResponse = Callable[[Scope, Receive], Coroutine[Any, Any, Response] | None]

WRITES = ("POST", "PUT", "PATCH", "DELETE")
_LOGGED = "error_logged"  # in the scope of a request whose exception was logged and is raised again
# In the scope of a request on the fast path that used an ordinary session: the AsyncExitStack that
# closes the session after the response and its background tasks (database.py).
EXIT_STACK = "exit_stack"
ADDRESS = re.compile(r"[\w.:%-]{1,64}", re.ASCII)  # perhaps with a port or a zone


class ErrorsMiddleware:
    """Middleware that responds to every exception in our error format.

    It runs inside CORS, so that a 500 has the CORS headers too. It replaces Starlette's
    ServerErrorMiddleware, which runs outside CORS, and ExceptionMiddleware. The two together made
    each waiting request 2.5 KB larger.
    """

    def __init__(self, app: ASGIApp, handler: ExceptionHandler | None = None) -> None:
        self.app = app
        self.handler = handler  # a custom handler for Exception

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return a coroutine. An `async` method would keep one more for each waiting request."""
        respond = self.respond if scope["type"] == "http" else self.app
        return respond(scope, receive, send)

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application. If it raises an exception, send an error response."""
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except (Exception, asyncio.CancelledError) as error:
            # Nothing is sent to a client that disconnected. BaseHTTPMiddleware expects either a
            # response or an exception.
            if _is_disconnect(error) or not await self.handle(error, started, scope, receive, send):
                raise

    async def handle(
        self, error: BaseException, started: bool, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Log `error` and send its response. Return False if `error` must be raised again."""
        if _is_disconnect(error):
            logs.logger.info("the client went away", extra=logs.request_context(scope))
            return True
        error_response = api_error(error, scope["app"], scope)
        is_unhandled = not isinstance(error, HTTPException | RequestValidationError)
        if not scope.pop(_LOGGED, False):
            _log(error, error_response, scope)
        if started:  # the server cuts the response off, so that it can't look complete
            scope[_LOGGED] = True
            return False
        if self.handler and is_unhandled and isinstance(error, Exception):
            await _send_handled(self.handler, error, scope, receive, send)
        else:
            await _send(error_response, scope, receive, send)
        # A TestClient raises exceptions that the application did not handle, as FastAPI documents.
        scope[_LOGGED] = is_in_test = "http.response.debug" in scope.get("extensions", ())
        return not (is_in_test and is_unhandled and error_response.status == 500)


class OutermostMiddleware(ErrorsMiddleware):
    """An ErrorsMiddleware that also logs requests, and completes the headers of every response."""

    def __init__(
        self,
        app: ASGIApp,
        handler: ExceptionHandler | None = None,
        log_requests: bool = False,
        slow_ms: float = inf,
        fast_response: FastResponse | None = None,
    ) -> None:
        """Pass `fast_response` only if `app` would return the same response without changes."""
        super().__init__(app, handler)
        self.slow = SlowRequests(slow_ms)
        self.log_requests = log_requests and logs.logger.isEnabledFor(logging.INFO)
        self.fast_response = fast_response or _no_fast_response

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, started, ended = 0, time.perf_counter(), 0.0

        async def observed(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if status < 400 and scope["method"] in WRITES and has_hung_up(receive):
                    _log_unheard(message, scope)
                message["headers"] = complete(message.get("headers", ()), scope, status)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                ended = time.perf_counter()
                if "timing" in scope:  # background tasks may use the same session
                    scope["timing"] = copy(scope["timing"])

        try:
            response = self.fast_response(scope, receive)
            if response is None:
                await self.app(scope, receive, observed)
            else:
                whole = await response
                status = self._send_whole(whole, scope, receive, send)
                if not status:
                    await whole(scope, receive, observed)
        except (Exception, asyncio.CancelledError) as error:
            if not await self.handle(error, bool(status), scope, receive, observed):
                raise
        finally:
            if EXIT_STACK in scope:
                await scope.pop(EXIT_STACK).aclose()
        # Without background tasks, for which no client waits.
        milliseconds = ((ended or time.perf_counter()) - started) * 1000
        if self.log_requests:
            logs.logger.info(
                "%d in %.1f ms", status, milliseconds, extra=logs.request_context(scope)
            )
        self.slow.log(status, milliseconds, scope)

    def _send_whole(self, response: Response, scope: Scope, receive: Receive, send: Send) -> int:
        """Send a plain response in one step and return its status, or 0 if that can't be done.

        Starlette would send two messages through a chain of wrappers.
        """
        send_whole = getattr(getattr(send, "__self__", None), "send_whole", None)
        is_plain = type(response).__call__ is Response.__call__ and response.background is None
        if send_whole is None or not is_plain:
            return 0
        status = response.status_code
        headers = complete(response.raw_headers, scope, status)
        return status if send_whole(status, headers, response.body) else 0


def _is_disconnect(error: BaseException) -> bool:
    """Return whether the client has disconnected. FastAPI raises its own error from that one."""
    return isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect)


def _no_fast_response(scope: Scope, receive: Receive) -> None:
    return None


def has_hung_up(receive: Receive) -> bool:
    """Return whether the client has disconnected, as far as the server knows.

    `receive` waits until the client disconnects, so this runs it only up to that point. Starlette's
    `Request.is_disconnected` takes two iterations of the event loop, and reads only one message.
    """
    known = getattr(getattr(receive, "__self__", None), "disconnected", None)
    if isinstance(known, bool):  # our own server's (serving/exchange.py)
        return known
    while True:
        step = receive().__await__()
        try:
            step.send(None)
        except StopIteration as received:
            if received.value["type"] == "http.disconnect":
                return True
        else:
            step.close()
            return False


def _log_unheard(message: Message, scope: Scope) -> None:
    """Log that a client disconnected before the response to its write, and what it created."""
    headers = Headers(raw=message["headers"])
    made = f" (made {headers['location']})" if "location" in headers else ""
    text = "%d%s, but the client disconnected before the response"
    logs.logger.warning(text, message["status"], made, extra=logs.request_context(scope))


def _log(error: BaseException, answer: APIError, scope: Scope) -> None:
    """Log an error that needs attention: a refused client, an unavailable database, or a bug.

    routing/refusals.py logs overload once a second.
    """
    if answer.status >= 500:
        record_error(error)
    if answer.status == 500:
        logs.logger.error("500 INTERNAL_ERROR", exc_info=error, extra=logs.request_context(scope))
    elif answer.status in (401, 403, 503) and not isinstance(answer, Overloaded):
        extra = logs.request_context(scope)
        if answer.status != 503:
            extra["client"] = client_address(scope)
        reason = answer.reason or answer.detail
        logs.logger.warning("%d %s: %s", answer.status, answer.code, reason, extra=extra)


def client_address(scope: Scope) -> str:
    """Return the client's address: the one that a trusted proxy forwarded, else the connection's.

    Return `-` if there is none, or if the forwarded value is not an address.
    """
    client = scope.get("client")
    return client[0] if client and ADDRESS.fullmatch(client[0]) else "-"


async def _send(error: APIError, scope: Scope, receive: Receive, send: Send) -> None:
    if isinstance(error, Overloaded):
        scope.setdefault("state", {})["overloaded"] = True  # for serving/protocol.py
    if is_body_allowed_for_status_code(error.status):
        response: Response = JSONResponse(error.body(), error.status, error.headers)
    else:
        response = Response(None, error.status, error.headers)
    await response(scope, receive, send)


async def _send_handled(
    handler: ExceptionHandler, error: Exception, scope: Scope, receive: Receive, send: Send
) -> None:
    request = Request(scope, receive)
    if is_async_callable(handler):
        response = await handler(request, error)  # type: ignore[arg-type]
    else:
        response = await run_in_threadpool(handler, request, error)
    await response(scope, receive, send)  # type: ignore[misc]
