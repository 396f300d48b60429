"""The outermost layer but for CORS: a bug becomes a 500, and each request a line in the log."""

import logging
import time

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import logs
from errors import InternalError


class ErrorsMiddleware:
    """Answers what no handler answered, inside of CORS so that its headers stand on a 500 too."""

    def __init__(self, app: ASGIApp, log_requests: bool = False) -> None:
        self.app = app
        self.log_requests = log_requests and logs.logger.isEnabledFor(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except ClientDisconnect:
            logs.logger.info("the client went away", extra=logs.about(scope))
        except Exception:
            logs.logger.exception("500 INTERNAL_ERROR", extra=logs.about(scope))
            if status:  # the answer is cut off, for the server closes the connection
                raise
            await _internal_error(scope, receive, observed)
        if self.log_requests:
            milliseconds = (time.perf_counter() - started) * 1000
            logs.logger.info("%d in %.1f ms", status, milliseconds, extra=logs.about(scope))


async def _internal_error(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(InternalError().body(), InternalError.status)(scope, receive, send)
