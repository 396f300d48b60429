"""The head of a request: its request line and headers (RFC 9112, sections 2, 3 and 5).

httptools reads the header lines, with a parser of its own for each head: that costs 0.4 µs, and
nothing of one message can leak into the next. What the head means for the body is decided here,
because httptools ends a message at an `Upgrade` that the server does not take
(https://github.com/MagicStack/httptools/issues/124).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import httptools

from errors import (
    HeadersTooLarge,
    HTTPVersionNotSupported,
    InvalidInput,
    MethodNotImplemented,
    TransferEncodingNotImplemented,
)
from schemas import FieldError
from serving.body import Body, ChunkedBody, SizedBody

MAX_LINES = 100  # of headers
TOO_MANY_LINES = MAX_LINES + 2  # the request line is one

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/(\d)\.(\d)\r\n")
# RFC 9110, section 7.2, and RFC 3986, section 3.2.2, with the underscore of container names.
HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-fvV:.]+\])(?::\d*)?")
ABSOLUTE_FORM = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]+([^?]*)(?:\?(.*))?")

RawHeader = tuple[bytes, bytes]


class Head(NamedTuple):
    """A well-formed head, and what it says about the connection and the body."""

    method: str
    path: bytes  # as sent
    query: bytes
    version: str  # "1.0" or "1.1"
    headers: list[RawHeader]  # names in lower case
    body: Body | None
    keep_alive: bool
    expects_continue: bool


class HeaderLines:
    """Collects the header lines that httptools finds."""

    def __init__(self) -> None:
        self.headers: list[RawHeader] = []

    def on_message_begin(self) -> None: ...  # httptools requires these two

    def on_message_complete(self) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


def parse_head(data: bytes) -> Head:
    """Return the head in `data`, which ends with an empty line.

    Raises InvalidInput, HeadersTooLarge, MethodNotImplemented, TransferEncodingNotImplemented or
    HTTPVersionNotSupported.
    """
    method, target, version = parse_request_line(data)
    lines = HeaderLines()
    if data.count(b"\n") > TOO_MANY_LINES:  # with the empty line
        feed(header_parser(lines), first_lines(data, TOO_MANY_LINES))
        raise HeadersTooLarge
    feed(header_parser(lines), data)
    path, query = _split_target(method, target)
    return _interpret(method.decode(), path, query, version, lines.headers)


def parse_request_line(data: bytes) -> tuple[bytes, bytes, str]:
    """Return method, target and version of the request line that `data` begins with."""
    match = REQUEST_LINE.match(data)
    if match is None:
        raise malformed("must be HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HTTPVersionNotSupported
    # A later 1.x is read as 1.1 (RFC 9110, section 2.5).
    return method, target, "1.0" if minor == b"0" else "1.1"


def malformed(message: str) -> InvalidInput:
    """Return the error of a request that breaks the rules of HTTP."""
    return InvalidInput(FieldError(field="request", message=message))


def header_parser(lines: object) -> httptools.HttpRequestParser:
    """Return a parser that tells `lines` of the header lines it reads."""
    parser = httptools.HttpRequestParser(lines)
    # _interpret checks these rules, each with a status of its own.
    parser.set_dangerous_leniencies(
        lenient_chunked_length=True, lenient_transfer_encoding=True, lenient_version=True
    )
    return parser


def feed(parser: httptools.HttpRequestParser, data: bytes) -> None:
    """Parse `data`. Raises InvalidInput or MethodNotImplemented."""
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return  # an offer, which a server may ignore (RFC 9110, section 7.8)
    except httptools.HttpParserInvalidMethodError:
        raise MethodNotImplemented from None
    except httptools.HttpParserError:
        raise malformed("must be HTTP/1.1") from None


def first_lines(data: bytes, count: int) -> bytes:
    """Return the first `count` lines of `data`, which has more."""
    return data[: -len(data.split(b"\n", count)[-1])]


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request target (RFC 9112, section 3.2)."""
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


def _interpret(
    method: str, path: bytes, query: bytes, version: str, headers: list[RawHeader]
) -> Head:
    """Return the head, with what its headers say about the body and the connection."""
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connection: list[bytes] = []
    expects_continue = False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings += _elements(value)
        elif name == b"connection":
            connection += _elements(value)
        elif name == b"expect":
            expects_continue = value.lower() == b"100-continue"
    _check_host(hosts, version)
    body = _body(lengths, codings, version)
    keep_alive = version == "1.1" and b"close" not in connection
    expects_continue = expects_continue and body is not None and version == "1.1"
    return Head(method, path, query, version, headers, body, keep_alive, expects_continue)


def _elements(value: bytes) -> list[bytes]:
    return [element.strip(b" \t").lower() for element in value.split(b",")]


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    """RFC 9112, section 3.2: exactly one in HTTP/1.1."""
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise malformed("must have exactly one Host header")
    if hosts and HOST.fullmatch(hosts[0]) is None:
        raise malformed("must have a valid Host header")


def _body(lengths: Sequence[bytes], codings: Sequence[bytes], version: str) -> Body | None:
    """Return the framing of the body (RFC 9112, section 6.3)."""
    if codings:
        if lengths:
            raise malformed("must not have both Transfer-Encoding and Content-Length")
        if version == "1.0":
            raise malformed("must not have Transfer-Encoding in HTTP/1.0")
        return _coded_body(codings)
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise malformed("must have one Content-Length")
    length = int(lengths[0].lstrip(b"0") or b"0")  # int() refuses more than 4,300 digits
    return SizedBody(length) if length else None


def _coded_body(codings: Sequence[bytes]) -> Body:
    if b"" in codings or codings.count(b"chunked") > 1:
        raise malformed("must have Transfer-Encoding: chunked, or none")
    if any(coding != b"chunked" for coding in codings):
        raise TransferEncodingNotImplemented
    return ChunkedBody()
