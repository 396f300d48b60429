"""The head of a request: its request line and its headers (RFC 9112, sections 2 and 3)."""

import re
from typing import NamedTuple

from errors import HTTPVersionNotSupported, MethodNotImplemented
from serving.body import Body, ChunkedBody, SizedBody
from serving.headers import (
    INVALID_REQUEST_LINE,
    RawHeader,
    feed,
    header_parser,
    malformed,
    parse_lines,
)

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/(\d)\.(\d)\r\n")
ABSOLUTE_FORM = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]+([^?]*)(?:\?(.*))?")
METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS")


class Head(NamedTuple):
    """A well-formed head, and what it means for the connection and the body."""

    method: str
    path: bytes  # as sent
    query: bytes
    version: str  # "1.0" or "1.1"
    headers: list[RawHeader]  # names in lower case
    body: Body | None
    keep_alive: bool
    expects_continue: bool


def parse_head(data: bytes) -> Head:
    """Return the head in `data`, which ends with an empty line.

    Raises InvalidInput, HeadersTooLarge, MethodNotImplemented, TransferEncodingNotImplemented or
    HTTPVersionNotSupported.
    """
    method, target, version, end = parse_request_line(data)
    lines = parse_lines(data[end:], version)
    path, query = _split_target(method, target)
    body: Body | None = ChunkedBody() if lines.is_chunked else None
    if lines.content_length:
        body = SizedBody(lines.content_length)
    return Head(
        method.decode(),
        path,
        query,
        version,
        list(lines.headers),
        body,
        lines.keep_alive,
        lines.expects_continue,
    )


def parse_request_line(data: bytes) -> tuple[bytes, bytes, str, int]:
    """Return the method, target and version in the request line of `data`, and where it ends.

    Raises InvalidInput, MethodNotImplemented or HTTPVersionNotSupported.
    """
    match = REQUEST_LINE.match(data)
    if match is None:
        raise malformed(INVALID_REQUEST_LINE)
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HTTPVersionNotSupported
    if method not in METHODS or not target.startswith(b"/"):
        _check_line(match[0])
    # A later 1.x is read as 1.1 (RFC 9110, section 2.5).
    return method, target, "1.0" if minor == b"0" else "1.1", match.end()


class _Ignored:
    def on_message_begin(self) -> None: ...  # httptools requires these two

    def on_message_complete(self) -> None: ...


def _check_line(line: bytes) -> None:
    """Let httptools check an unusual request line, because it knows all methods."""
    feed(header_parser(_Ignored()), line + b"\r\n")


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request target (RFC 9112, section 3.2)."""
    if method == b"CONNECT":
        raise MethodNotImplemented
    if b"#" in target:
        raise malformed("must not have a fragment in its target")
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    if target == b"*" and method == b"OPTIONS":
        return target, b""
    match = ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise malformed("must have a target that begins with /")
    return match[1] or b"/", match[2] or b""
