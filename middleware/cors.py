"""CORS for the frontend's origins only."""

from collections.abc import Awaitable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import OriginNotAllowed
from middleware.refused_origins import RefusedOrigins
from middleware.request_id import with_request_id
from middleware.response_headers import CORS_HEADERS
from middleware.security_headers import RawHeader, with_defaults

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Headers that the service does not read are allowed too if libraries send them without the frontend
# developer's knowledge. Allowing one costs nothing. Refusing one breaks every call of the page.
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
    # Tracing: W3C, Sentry, Datadog, New Relic, Application Insights, PostHog.
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    "newrelic",
    "Request-Context",
    "Request-Id",
    "X-PostHog-Distinct-Id",
    "X-PostHog-Session-Id",
    "X-PostHog-Window-Id",
    # Sent by axios-cache-interceptor.
    "Cache-Control",
    "Expires",
    "Pragma",
    # Sent by older libraries.
    "X-Requested-With",
    # Sent by axios if there is an XSRF-TOKEN cookie.
    "X-XSRF-TOKEN",
    # Sent by clients that OpenAPI Generator made.
    "User-Agent",
    # Without it, ngrok's free tunnels show browsers a warning page instead of the response.
    "ngrok-skip-browser-warning",
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
VARY: RawHeader = (b"vary", b"Origin")
WITHOUT_ORIGIN = (VARY,)


def _is_preflight(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


class CORSMiddleware(StarletteCORSMiddleware):
    """Starlette's middleware, with refused origins logged and refused preflights in our format."""

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: tuple[str, ...],
        allow_origin_regex: str | None = None,
    ) -> None:
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_origin_regex=allow_origin_regex,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            allow_private_network=True,
            expose_headers=RESPONSE_HEADERS,
        )
        self._simple = tuple(Headers(self.simple_headers).raw)
        self._of_refused_origin = (*self._simple, VARY)
        self._refused = RefusedOrigins()

    def __call__(  # type: ignore[override]  # not async: each request would keep a coroutine
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Respond to a preflight, or put the CORS headers of the response into the scope.

        The middleware inside this one (errors.py) adds them to the response, so that one wrapper of
        `send` adds all headers.
        """
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        origin = ""
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value.decode("latin-1")
        if origin and scope["method"] == "OPTIONS" and _is_preflight(scope):
            return self._respond_to_preflight(scope, receive, send)
        scope[CORS_HEADERS] = headers = self.headers_for(origin)
        if headers is self._of_refused_origin:
            self._refused.log_origin(scope, origin)
        return self.app(scope, receive, send)

    def headers_for(self, origin: str) -> tuple[RawHeader, ...]:
        """Return the CORS headers of a response to `origin`, which may be empty."""
        if not origin:
            return WITHOUT_ORIGIN
        if self.is_allowed_origin(origin):
            return (*self._simple, (b"access-control-allow-origin", origin.encode()), VARY)
        return self._of_refused_origin

    async def _respond_to_preflight(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        response = self.preflight_response(headers)
        if not self.is_allowed_origin(headers["origin"]):
            self._refused.log_origin(scope, headers["origin"])
        elif response.status_code >= 400:
            self._refused.log_preflight(scope, headers["origin"])
        await response(scope, receive, with_request_id(scope, send))

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        response.raw_headers = with_defaults(response.raw_headers)
        if response.status_code < 400:
            return response
        for name in ("content-type", "content-length", "access-control-allow-private-network"):
            del response.headers[name]
        error = OriginNotAllowed()
        return JSONResponse(error.body(), error.status, headers=response.headers)
