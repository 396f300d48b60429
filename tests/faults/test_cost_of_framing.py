"""The cost of HTTP framing is linear and small too (see tests/faults/test_cost.py).

The service parses line ends, header lines, chunks and trailers before the request is complete.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests.faults.costs import CEILING, Meter, Shape, connect, measured, repeated, request
from tests.support.processes import Service

CHUNKED = (b"Transfer-Encoding: chunked", b"Content-Type: application/json")


@pytest.fixture(scope="module")
def meter(service: Service) -> Iterator[Meter]:
    with measured(service, "header lines, chunks, trailers and empty lines") as meter:
        yield meter


def lines(name: str, line: bytes, path: bytes = b"/health/live", last: bytes = b"") -> Shape:
    """Return a shape that repeats this header line, followed by `last`."""
    return Shape(
        f"head: {name}",
        lambda size: request(path, *[line] * (size // (len(line) + 2)), *[last] * bool(last)),
    )


def head(name: str, of: Callable[[bytes], bytes], piece: bytes = b"a") -> Shape:
    """Return a shape with one long header line."""
    return Shape(f"head: {name}", lambda size: request(b"/health/live", of(repeated(piece, size))))


def chunked(name: str, of: Callable[[int], bytes], end: bytes = b"0\r\n\r\n") -> tuple[Shape, ...]:
    """Return two chunked requests: an endpoint reads the body of one, and none reads the other."""

    def shape(path: bytes, method: bytes, kind: str) -> Shape:
        return Shape(
            f"{name}{kind}",
            lambda size: request(path, *CHUNKED, method=method, body=of(size) + end),
        )

    return (
        shape(b"/api/alice/tasks", b"POST", ""),
        shape(b"/health/live", b"GET", " (nobody reads)"),
    )


LINES = (
    lines("short lines", b"a:b"),
    lines("lines without a value", b"a:"),
    lines("lines of 600 bytes", b"a: " + b"b" * 600),
    lines(
        "short lines from a browser", b"a:b", b"/api/alice/tasks", b"Origin: http://localhost:3000"
    ),
    lines("Host, repeated", b"Host: tasks"),
    lines("Origin, repeated", b"Origin: http://localhost:3000", b"/api/alice/tasks"),
    lines("Authorization, repeated", b"Authorization: Bearer a", b"/api/alice/tasks"),
    lines("Cookie, repeated", b"Cookie: a=b", b"/api/alice/tasks"),
    lines("X-Request-ID, repeated", b"X-Request-ID: a"),
    lines("Transfer-Encoding, repeated", b"Transfer-Encoding: chunked"),
    lines("Content-Length, repeated", b"Content-Length: 0"),
    lines("folded lines", b"a: b\r\n c"),
)
LONG = (
    head("a long name", lambda long: long + b": b"),
    head("a long value", lambda long: b"a: " + long),
    head("a value of spaces", lambda long: b"a: " + long + b"b", b" "),
    head("a value of tabs", lambda long: b"a:" + long, b"\t"),
    head("a folded value", lambda long: b"a: b" + long, b"\r\n b"),
    head("a list of encodings", lambda long: b"Transfer-Encoding: " + long, b"gzip,"),
    head("a list of chunked", lambda long: b"Transfer-Encoding: " + long, b"chunked,"),
    head("a list of connection options", lambda long: b"Connection: " + long, b"close,"),
    head("a list of protocols", lambda long: b"Connection: upgrade\r\nUpgrade: " + long, b"h2c,"),
    head("zeros as a length", lambda long: b"Content-Length: " + long, b"0"),
    head("a length of digits", lambda long: b"Content-Length: " + long, b"9"),
    head("expectations", lambda long: b"Expect: " + long, b"100-continue,"),
    Shape("head: a long method", lambda size: request(method=repeated(b"G", size))),
    Shape(
        "head: a long version",
        lambda size: b"GET / HTTP/1." + repeated(b"1", size) + b"\r\nHost: tasks\r\n\r\n",
    ),
    Shape("head: spaces in the first line", lambda size: request(repeated(b" ", size) + b"/")),
)
EMPTY = (
    Shape("empty lines", lambda size: repeated(b"\r\n", size) + request()),
    Shape("empty lines without CR", lambda size: repeated(b"\n", size) + request()),
    Shape("empty lines without LF", lambda size: repeated(b"\r", size) + request()),
    Shape("empty lines after a request", lambda size: request() + repeated(b"\r\n", size)),
)
CHUNKS = (
    *chunked("chunks: a byte each", lambda size: repeated(b"1\r\n \r\n", size)),
    *chunked("chunks: 16 bytes each", lambda size: repeated(b"10\r\n" + b" " * 16 + b"\r\n", size)),
    *chunked("chunks: size with zeros", lambda size: repeated(b"0", size) + b"1\r\n \r\n"),
    *chunked("chunks: sizes with zeros", lambda size: repeated(b"0" * 100 + b"1\r\n \r\n", size)),
    *chunked("chunks: size of digits", lambda size: repeated(b"1", size) + b"\r\n"),
    *chunked("chunks: long extension", lambda size: b"1;" + repeated(b"a", size) + b"\r\n \r\n"),
    *chunked("chunks: many extensions", lambda size: b"1" + repeated(b";a=b", size) + b"\r\n \r\n"),
    *chunked(
        "chunks: quoted extension", lambda size: b'1;a="' + repeated(b"\\b", size) + b'"\r\n \r\n'
    ),
    *chunked("chunks: an extension each", lambda size: repeated(b"1;a=b\r\n \r\n", size)),
    *chunked(
        "chunks: extension of the last", lambda size: b"0;" + repeated(b"a", size), b"\r\n\r\n"
    ),
)
TRAILERS = (
    *chunked("trailers: short", lambda size: b"0\r\n" + repeated(b"a:b\r\n", size), b"\r\n"),
    *chunked("trailers: a long name", lambda size: b"0\r\n" + repeated(b"a", size), b":b\r\n\r\n"),
    *chunked("trailers: a long value", lambda size: b"0\r\na:" + repeated(b"b", size), b"\r\n\r\n"),
    *chunked(
        "trailers: Authorization",
        lambda size: b"0\r\n" + repeated(b"Authorization: Bearer a\r\n", size),
        b"\r\n",
    ),
)


@pytest.mark.parametrize("shape", [*LINES, *LONG, *EMPTY, *CHUNKS, *TRAILERS], ids=str)
def test_the_cost_grows_no_faster_than_the_size(meter: Meter, shape: Shape) -> None:
    meter.assert_linear(shape)


ENOUGH = 32 * 1024 * 1024  # bytes; the sockets of both sides buffer some unread megabytes
# The service reads up to 64 KiB of each part before it closes the connection, plus its read buffer.
READ = 512  # KiB


class Endless(NamedTuple):
    """A request without an end: its beginning, and the piece that repeats forever."""

    name: str
    begin: bytes
    piece: bytes

    def __str__(self) -> str:
        return self.name


def endless(name: str, begin: bytes, piece: bytes) -> tuple[Endless, ...]:
    """Return two endless chunked bodies: an endpoint reads one, and none reads the other."""
    return (
        Endless(name, request(b"/api/alice/tasks", *CHUNKED, method=b"POST", body=begin), piece),
        Endless(f"{name} (nobody reads)", request(b"/health/live", *CHUNKED, body=begin), piece),
    )


WITHOUT_END = (
    Endless("empty lines", b"", b"\r\n"),
    Endless("empty lines without CR", b"", b"\n"),
    Endless("empty lines after a request", request(), b"\r\n"),
    Endless("a path", b"GET /", b"%"),
    Endless("header lines", request()[:-2], b"a:b\r\n"),
    Endless("a header name", request()[:-2], b"a"),
    Endless("a header value", request()[:-2] + b"a: ", b"b"),
    *endless("chunk size with zeros", b"", b"0"),
    *endless("chunk extension", b"1;", b"a"),
    *endless("chunk extensions", b"", b"1;" + b"a" * 1000 + b"\r\n \r\n"),
    *endless("chunk sizes with zeros", b"", b"0" * 1000 + b"1\r\n \r\n"),
    *endless("trailers", b"0\r\n", b"a:b\r\n"),
    *endless("a trailer name", b"0\r\n", b"a"),
    *endless("a trailer value", b"0\r\na: ", b"b"),
)


def taken(meter: Meter, begin: bytes, block: bytes) -> int:
    """Send until the service closes the connection, or up to ENOUGH; return the bytes sent."""
    sent = 0
    with connect(meter.service) as connection, suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(begin)
        while sent < ENOUGH:
            connection.sendall(block)
            sent += len(block)
    return sent


@pytest.mark.parametrize("shape", WITHOUT_END, ids=str)
def test_an_endless_request_is_cut_off(meter: Meter, shape: Endless) -> None:
    """The service closes the connection, and spends no more CPU time than READ may cost."""
    before = meter.seconds()
    sent = taken(meter, shape.begin, repeated(shape.piece, 65536))
    assert sent < ENOUGH
    assert meter.seconds() - before < READ * CEILING * meter.plain
