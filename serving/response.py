"""A response as bytes: status line, headers, and the framing of its body (RFC 9112)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from middleware.security_headers import DEFAULTS, RawHeader

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
STATUSES_WITHOUT_BODY = (204, 304)
WRONG_LENGTH = "The length of the response's body is not its Content-Length."

STATUS_LINES = {
    **{status: b"HTTP/1.1 %d \r\n" % status for status in range(100, 1000)},
    **{status.value: f"HTTP/1.1 {status} {status.phrase}\r\n".encode() for status in HTTPStatus},
}


@lru_cache(maxsize=512)  # an entry for each Content-Length, and for each CORS header of an origin
def header_line(name: bytes, value: bytes) -> bytes:
    """Return the line of a header. Raises RuntimeError if a character in it is forbidden."""
    if NAME.fullmatch(name) is None or FORBIDDEN_IN_VALUE.search(value):
        raise RuntimeError("A response header has a forbidden character.")
    return b"%b: %b\r\n" % (name.lower(), value)


# Most responses have these headers, so their lines are built once.
FREQUENT_LINES = {
    header: header_line(*header)
    for header in (*DEFAULTS, (b"content-type", b"application/json"), (b"vary", b"Origin"))
}
# Most responses have these headers too, with varying values.
FREQUENT_NAMES = frozenset((b"etag", b"location", b"x-request-id"))
FRAMING = frozenset((b"content-length", b"connection", b"transfer-encoding"))


@lru_cache(maxsize=4)  # the argument changes once a second, with the Date header
def default_lines(headers: tuple[RawHeader, ...]) -> bytes:
    """Return the lines of the headers that the server adds to every response."""
    return b"".join(header_line(*header) for header in headers)


class ResponseWriter:
    """A builder of the bytes of one response.

    The head is sent with the first part of the body, in one system call and one segment.
    """

    __slots__ = ("_chunked", "_has_body", "_head", "_is_1_0", "_missing")

    def __init__(self, method: str, version: str) -> None:
        self._has_body = method != "HEAD"
        self._is_1_0 = version == "1.0"  # it has no chunks, so closing the connection ends the body
        self._head = b""  # until it is written
        self._chunked = False
        self._missing: int | None = None  # bytes of a body whose length was declared

    def start(
        self,
        status: int,
        headers: Iterable[RawHeader],
        default_headers: Iterable[RawHeader],
        keep_alive: bool,
    ) -> bool:
        """Build the head. Return whether the connection stays open after the response."""
        lines = [STATUS_LINES[status], default_lines(tuple(default_headers))]
        for header in headers:
            line = FREQUENT_LINES.get(header)
            if line is None:
                name, value = header
                if name in FREQUENT_NAMES and not FORBIDDEN_IN_VALUE.search(value):
                    line = b"%b: %b\r\n" % header
                else:
                    line = header_line(name, value)
                    name = name.lower()
                    if name in FRAMING:
                        line, keep_alive = self._take_framing(name, value, line, keep_alive)
            lines.append(line)
        self._has_body = self._has_body and status not in STATUSES_WITHOUT_BODY
        if self._has_body and self._missing is None:
            self._chunked = not self._is_1_0
            lines.append(b"transfer-encoding: chunked\r\n" if self._chunked else b"")
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        return keep_alive

    def _take_framing(
        self, name: bytes, value: bytes, line: bytes, keep_alive: bool
    ) -> tuple[bytes, bool]:
        """Apply a header about the connection or the framing. Return the line to send for it."""
        if name == b"content-length":
            self._missing = int(value)
            return line, keep_alive
        if name == b"connection":
            keep_alive = keep_alive and b"close" not in value.lower()
        return b"", keep_alive

    def body(self, content: bytes, more: bool) -> bytes:
        """Return the bytes of the next part. Raises RuntimeError if the length is wrong."""
        head, self._head = self._head, b""
        if not self._has_body:
            return head
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
            return head + chunk + (b"" if more else b"0\r\n\r\n")
        if self._missing is not None:
            self._missing -= len(content)
            if self._missing < 0 or (self._missing and not more):
                raise RuntimeError(WRONG_LENGTH)
        return head + content

    def check_length(self, size: int, more: bool) -> None:
        """Raise the RuntimeError of `body` if the next parts, of `size` bytes, would cause it."""
        if self._has_body and self._missing is not None:
            missing = self._missing - size
            if missing < 0 or (missing and not more):
                raise RuntimeError(WRONG_LENGTH)
