"""The response to a request that does not reach the application."""

import json
import re
from collections.abc import Callable, Sequence

from starlette.types import Scope

from errors import APIError
from middleware.security_headers import DEFAULTS, RawHeader
from observability.request_id import HEADER, request_id
from serving.response import ResponseWriter

ORIGIN = re.compile(rb"\r\norigin:[ \t]*+([!-~]*+)[ \t]*+\r\n", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*+([!-~]*+)[ \t]*+\r\n", re.IGNORECASE)

CORSHeaders = Callable[[str], Sequence[RawHeader]]


def refusal(
    error: APIError,
    scope: Scope,
    default_headers: Sequence[RawHeader],
    cors_headers: CORSHeaders | None,
) -> bytes:
    """Return the response to `error`, after which the connection closes.

    It has the request id of `scope`, and the CORS headers for its origin. `cors_headers` returns
    those for an origin, which may be empty (main.py).
    """
    body = json.dumps(error.body()).encode()
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (HEADER, request_id(scope).encode()),
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
        *DEFAULTS,
        *(cors_headers(_origin(scope)) if cors_headers else ()),
    )
    response = ResponseWriter(scope["method"], "1.1")
    response.start(error.status, headers, default_headers, keep_alive=False)
    return response.body(body, more=False)


def scope_of(head: bytes) -> Scope:
    """Return a scope with the origin and the request id in `head`, which can't be parsed."""
    found = {b"origin": ORIGIN.search(head), HEADER: REQUEST_ID.search(head)}
    headers = [(name, match[1]) for name, match in found.items() if match]
    return {"method": "", "headers": headers}


def _origin(scope: Scope) -> str:
    origin = b""
    for name, value in scope["headers"]:
        if name == b"origin":
            origin = value  # the last one, as in middleware/cors.py
    return origin.decode("latin-1")
