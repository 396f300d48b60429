"""CORS for the frontend's origins only."""

from collections.abc import Awaitable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import OriginNotAllowed
from middleware.request_id import with_request_id
from middleware.response_headers import CORS_HEADERS
from middleware.security_headers import RawHeader, with_defaults

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
    "traceparent",
    "tracestate",
)
RESPONSE_HEADERS = (
    "Location",
    "ETag",
    "Idempotency-Replayed",
    "Retry-After",
    "WWW-Authenticate",
    "Allow",
    "X-Request-ID",
)
WITHOUT_ORIGIN: tuple[RawHeader, ...] = ((b"vary", b"Origin"),)


def _is_preflight(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


class CORSMiddleware(StarletteCORSMiddleware):
    """Starlette's middleware with our origins, and refused preflights in our error format."""

    def __init__(self, app: ASGIApp, allow_origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )

    def __call__(  # type: ignore[override]  # not async: each request would keep a coroutine
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Respond to a preflight, or name the CORS headers that the response gets (below).

        The middleware inside adds them (errors.py), so that one wrapper of `send` adds all headers.
        """
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        origin = ""
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value.decode("latin-1")
        if origin and scope["method"] == "OPTIONS" and _is_preflight(scope):
            return super().__call__(scope, receive, with_request_id(scope, send))
        scope[CORS_HEADERS] = self.headers_for(origin) if origin else WITHOUT_ORIGIN
        return self.app(scope, receive, send)

    def headers_for(self, origin: str) -> tuple[RawHeader, ...]:
        """Return the CORS headers of a response to `origin`, which may be empty."""
        headers = MutableHeaders(self.simple_headers if origin else None)
        if self.is_allowed_origin(origin):
            self.allow_explicit_origin(headers, origin)
        else:
            headers.append("vary", "Origin")
        return tuple(headers.raw)

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        response.raw_headers = with_defaults(response.raw_headers)
        if response.status_code < 400:
            return response
        del response.headers["content-type"], response.headers["content-length"]
        error = OriginNotAllowed()
        return JSONResponse(error.body(), error.status, headers=response.headers)
