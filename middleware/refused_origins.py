"""Log what CORS refuses, each origin once in ten minutes, because a page repeats its calls."""

from math import inf
from time import monotonic

from starlette.datastructures import Headers
from starlette.types import Scope

from middleware.errors import client_address
from observability import logs
from observability.redaction import excerpt

INTERVAL = 600.0  # seconds
MAX_LINES = 100  # within that time; a client can invent any number of origins


class RefusedOrigins:
    """The refusals that were logged since the interval began."""

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._began = -inf

    def log_origin(self, scope: Scope, origin: str) -> None:
        """Log a request or a preflight from an origin that is not allowed."""
        if not _is_same_origin(scope, origin):
            text = f"The origin {excerpt(origin)} is not in ALLOWED_ORIGINS"
            self._log(f"{text}, so browsers don't let its pages read responses", scope)

    def log_preflight(self, scope: Scope, origin: str) -> None:
        """Log a preflight from an allowed origin for a method or a header that is not allowed."""
        headers = Headers(scope=scope)
        method = excerpt(headers["access-control-request-method"])
        names = excerpt(headers.get("access-control-request-headers", "").replace(" ", ""))
        text = f"400 ORIGIN_NOT_ALLOWED: the method {method} or one of the headers {names or '-'}"
        self._log(f"{text} is not allowed to {excerpt(origin)}", scope)

    def _log(self, text: str, scope: Scope) -> None:
        now = monotonic()
        if now >= self._began + INTERVAL:
            self._logged.clear()
            self._began = now
        if text in self._logged or len(self._logged) >= MAX_LINES:
            return
        self._logged.add(text)
        if len(self._logged) == MAX_LINES:
            text += "; no more refusals are logged for up to ten minutes"
        extra = {**logs.request_context(scope), "client": client_address(scope)}
        logs.logger.warning("%s", text, extra=extra)


def _is_same_origin(scope: Scope, origin: str) -> bool:
    """Return whether the page is one of the service's own, such as /docs.

    CORS does not apply to these, but browsers send Origin with their POST requests too. One header
    alone can't tell: a proxy may change Host, and browsers send Sec-Fetch-Site only over TLS and to
    the loopback.
    """
    headers = Headers(scope=scope)
    is_own_host = origin.partition("://")[2] == headers.get("host")
    return is_own_host or headers.get("sec-fetch-site") == "same-origin"
