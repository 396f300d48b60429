"""The response to a request that does not reach the application."""

import json
import re
from collections.abc import Callable, Sequence

from errors import APIError
from middleware.security_headers import DEFAULTS, RawHeader
from observability.request_id import HEADER, request_id
from serving.response import STATUS_LINES, header_line

ORIGIN = re.compile(rb"\r\norigin:[ \t]*+([!-~]*+)[ \t]*+\r\n", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*+([!-~]*+)[ \t]*+\r\n", re.IGNORECASE)


CORSHeaders = Callable[[str], Sequence[RawHeader]]


def refusal(error: APIError, head: bytes, cors_headers: CORSHeaders | None) -> bytes:
    """Return the response to `error`, after which the connection closes.

    `head` is the part of the head that has arrived. The response has its request id, and the CORS
    headers for its origin. `cors_headers` returns those for an origin, which may be empty
    (main.py).
    """
    body = json.dumps(error.body()).encode()
    match = ORIGIN.search(head)
    origin = match[1].decode("ascii") if match else ""
    given = REQUEST_ID.search(head)
    sent: list[RawHeader] = [(HEADER, given[1])] if given else []
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (HEADER, request_id({"headers": sent}).encode()),
        *DEFAULTS,
        *(cors_headers(origin) if cors_headers else ()),
    )
    lines = b"".join(header_line(*header) for header in headers)
    return STATUS_LINES[error.status] + lines + b"\r\n" + body
