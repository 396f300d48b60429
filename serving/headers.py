"""The header lines of a request, and what they mean for its body and its connection.

httptools parses the lines. Each head has its own parser, which costs 0.4 µs, so that no part of
one message can leak into the next. This module decides what the lines mean for the body, because
httptools ends a message at an `Upgrade` even if the server ignores it
(https://github.com/MagicStack/httptools/issues/124).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import httptools

from errors import (
    HeadersTooLarge,
    InvalidInput,
    MethodNotImplemented,
    TransferEncodingNotImplemented,
)
from errors.faults import Fault

MAX_LINES = 100  # of headers
TOO_MANY_LINES = MAX_LINES + 2  # the request line is one

# A client sends most of its requests with the same lines, so they are parsed once.
CACHED_LINES = 1024  # requests whose lines are cached
CACHED_SIZE = 2048  # bytes of one request's lines; longer ones are rare

# RFC 9110, section 7.2, and RFC 3986, section 3.2.2, with the underscore for container names.
HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-fvV:.]+\])(?::\d*)?")

# httptools parses header lines after this line instead of the client's, because it reads the lines
# after some methods differently: after PRI it allows only the rest of the preface of HTTP/2.
NEUTRAL_LINE = b"GET / HTTP/1.1\r\n"

INVALID_REQUEST_LINE = "must begin with a request line of HTTP/1.1"
INVALID_LENGTH = "must have one Content-Length, which is a number of bytes"

RawHeader = tuple[bytes, bytes]


class HeaderLines(NamedTuple):
    """Well-formed header lines, and what they mean."""

    headers: tuple[RawHeader, ...]  # names in lower case
    content_length: int  # 0 if there is no body, or if it is chunked
    is_chunked: bool
    keep_alive: bool
    expects_continue: bool


class _Collector:
    """A collector of the header lines that httptools finds."""

    def __init__(self) -> None:
        self.headers: list[RawHeader] = []

    def on_message_begin(self) -> None: ...  # httptools requires these two

    def on_message_complete(self) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


def parse_lines(data: bytes, version: str) -> HeaderLines:
    """Return the header lines in `data`, which follow a request line and end with an empty line.

    Raises InvalidInput, HeadersTooLarge or TransferEncodingNotImplemented.
    """
    if len(data) <= CACHED_SIZE:
        return _cached_lines(data, version)
    return _parse_lines(data, version)


def _parse_lines(data: bytes, version: str) -> HeaderLines:
    message = NEUTRAL_LINE + data
    collector = _Collector()
    if message.count(b"\n") > TOO_MANY_LINES:  # with the empty line
        feed(header_parser(collector), first_lines(message, TOO_MANY_LINES))
        raise HeadersTooLarge
    feed(header_parser(collector), message)
    return _interpret(collector.headers, version)


_cached_lines = lru_cache(CACHED_LINES)(_parse_lines)


def malformed(text: str) -> InvalidInput:
    """Return the error of a request that breaks the rules of HTTP."""
    return InvalidInput(Fault("request", text))


def header_parser(lines: object) -> httptools.HttpRequestParser:
    """Return a parser that calls the methods of `lines` for the header lines that it reads."""
    parser = httptools.HttpRequestParser(lines)
    # _interpret checks these rules, and has a separate status for each.
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
    except httptools.HttpParserError as error:
        raise malformed(_fault(error)) from None


def _fault(error: httptools.HttpParserError) -> str:
    """Return what is wrong, in our words. Those of the parser may repeat what the client sent."""
    if isinstance(error, httptools.HttpParserInvalidURLError):
        return INVALID_REQUEST_LINE
    reason = str(error)
    if "Content-Length" in reason:
        return INVALID_LENGTH
    is_header = "header" in reason or "after start line" in reason
    return "must have well-formed headers" if is_header else "must be well-formed HTTP/1.1"


def first_lines(data: bytes, count: int) -> bytes:
    """Return the first `count` lines of `data`, which has more."""
    return data[: -len(data.split(b"\n", count)[-1])]


def _interpret(headers: list[RawHeader], version: str) -> HeaderLines:
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
    length = _content_length(lengths, codings, version)
    keep_alive = version == "1.1" and b"close" not in connection
    expects_continue = expects_continue and bool(codings or length) and version == "1.1"
    return HeaderLines(tuple(headers), length, bool(codings), keep_alive, expects_continue)


def _elements(value: bytes) -> list[bytes]:
    return [element.strip(b" \t").lower() for element in value.split(b",")]


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    """Check that there is one Host header, which only HTTP/1.0 may omit (RFC 9112, section 3.2)."""
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise malformed("must have exactly one Host header")
    if hosts and HOST.fullmatch(hosts[0]) is None:
        raise malformed("must have a valid Host header")


def _content_length(lengths: Sequence[bytes], codings: Sequence[bytes], version: str) -> int:
    """Return the declared length of the body (RFC 9112, section 6.3), or 0 if there is none."""
    if codings:
        if lengths:
            raise malformed("must not have both Transfer-Encoding and Content-Length")
        if version == "1.0":
            raise malformed("must not have Transfer-Encoding in HTTP/1.0")
        _check_codings(codings)
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise malformed(INVALID_LENGTH)
    return int(lengths[0].lstrip(b"0") or b"0")  # int() refuses more than 4,300 digits


def _check_codings(codings: Sequence[bytes]) -> None:
    if b"" in codings or codings.count(b"chunked") > 1:
        raise malformed("must have Transfer-Encoding: chunked, or none")
    if any(coding != b"chunked" for coding in codings):
        raise TransferEncodingNotImplemented
