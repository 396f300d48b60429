"""The length of a body: Content-Length and Transfer-Encoding (RFC 9112, section 6)."""

from tests.http1.cases import (
    LAST,
    SMUGGLED,
    Case,
    Outcome,
    chunk,
    each,
    echo,
    refused,
    request,
    responds,
    served,
    sized,
)

HELLO = served(b"hello")

MALFORMED_LENGTHS = [
    "", " ", "+5", "-5", "0x5", "5a", "a", "5 5", "5,5", "5, 6", "5;", "5.0", "5e0", "1e1", "05x",
    "5_0", "'5'", "5\t5", "\x0b5", "5\x0c", "\xb2", "\xd9\xa5", "0, 5", ",5", "5,", "0x", "-0",
    "+0", "--5", "\x005", "NaN",
]  # fmt: skip
HUGE_LENGTHS = [
    "4294967301" * 3,
    str(2**64 + 5),
    str(2**128 + 5),
    "9" * 1000,
]
GOOD_LENGTHS = ["5", "05", "0000000005", " 5 ", "\t5\t"]

TWO_LENGTHS = [
    f"{one}\r\nContent-Length: {two}"
    for one, two in (("5", "5"), ("5", "6"), ("6", "5"), ("0", "5"), ("5", "0"), ("5", ""))
]

OTHER_CODINGS = [
    "gzip, chunked", "gzip,chunked", "identity, chunked", "identity", "gzip", "deflate", "compress",
    "x", "xchunked", "chunkedx", "x-chunked", "chunke", "cow, chunked", "br, gzip, chunked",
]  # fmt: skip
# A parser may see these as malformed (400) or as an unknown coding (501).
STRANGE_CODINGS = [
    "", "chunked, chunked", "chunked, gzip", "chunked, identity", "chunked;q=1", "chunked; a=b",
    '"chunked"', "'chunked'", "chun ked", "chunked chunked", "chunked;", "chunked:", "chunked=1",
    "chunked\\", "\xe9", "gzip;chunked", "(chunked)", "chunked/1",
]  # fmt: skip
MALFORMED_CODINGS = [
    "\x0bchunked", "chunked\x0b", "\x0cchunked", "chunked\x00", "chun\x01ked", "\x1fchunked",
    "chunked\r", "\x7fchunked",
]  # fmt: skip
GOOD_CODINGS = ["chunked", "Chunked", "CHUNKED", "cHuNkEd", "\tchunked", "chunked \t"]
# RFC 9110, section 5.6.1: empty elements of a list are ignored; refusing them is safe too.
EMPTY_ELEMENTS = ["chunked,", ",chunked", " , chunked , ", "chunked,,"]

TWO_CODINGS = [
    f"{one}\r\nTransfer-Encoding: {two}"
    for one, two in (
        ("chunked", "chunked"), ("gzip", "chunked"), ("chunked", "gzip"), ("identity", "chunked"),
        ("chunked", ""), ("", "chunked"), ("x", "y"),
    )
]  # fmt: skip
SECOND = echo(method="GET", target="/echo?smuggled", tag="smuggled")


def with_length(value: str) -> bytes:
    return request(f"Content-Length: {value}", body=b"hello")


def with_coding(value: str) -> bytes:
    return request(f"Transfer-Encoding: {value}", body=chunk(b"hello") + LAST)


BOTH = [
    ("Content-Length and Transfer-Encoding", ("Content-Length: 5", "Transfer-Encoding: chunked")),
    ("Transfer-Encoding and Content-Length", ("Transfer-Encoding: chunked", "Content-Length: 5")),
    ("Content-Length 0 and Transfer-Encoding", ("Content-Length: 0", "Transfer-Encoding: chunked")),
    ("Transfer-Encoding and a bad length", ("Transfer-Encoding: chunked", "Content-Length: x")),
]  # fmt: skip

# A body that no endpoint reads must not be parsed as a request either.
SIZED, CHUNKED = f"Content-Length: {len(SMUGGLED)}", "Transfer-Encoding: chunked"
UNREAD = [
    Case(
        f"{what}, {framing}",
        request(
            framing, start=f"{start} HTTP/1.1", body=body, tag=outcomes[0].responses[0].tag or ""
        ),
        outcomes,
    )
    for framing, body in ((SIZED, SMUGGLED), (CHUNKED, chunk(SMUGGLED) + LAST))
    for what, start, outcomes in (
        ("a body that is not read", "GET /health/live", responds(200)),
        ("a body of a HEAD", "HEAD /health/live", responds(200, tag="head1")),
        ("a body for no route", "POST /nowhere", responds(404)),
        ("a body for another method", "PUT /health/live", responds(405)),
        (
            "an anonymous client's body",
            "POST /api/alice/tasks",
            responds(401) + responds(401, closes=True),
        ),
    )
]

CASES = [
    Case("a body", sized(b"hello"), HELLO),
    Case("an empty body", sized(b""), served()),
    Case("a body that looks like a request", sized(SMUGGLED), served(SMUGGLED)),
    Case("a body of every byte", sized(bytes(range(256))), served(bytes(range(256)))),
    Case("a body of empty lines", sized(b"\r\n" * 20), served(b"\r\n" * 20)),
    Case(
        "a body of a GET",
        request("Content-Length: 5", start="GET /echo HTTP/1.1", body=b"hello"),
        served(b"hello", "GET"),
    ),
    Case(  # RFC 9112, section 6.3: the request has no body, so the next bytes are a request
        "no length", request(body=SMUGGLED), (Outcome((echo(), SECOND)),)
    ),
    *each("Content-Length", MALFORMED_LENGTHS, with_length, refused(400)),
    *each("Content-Length", HUGE_LENGTHS, with_length, refused(400, 413)),
    *each("Content-Length", GOOD_LENGTHS, with_length, HELLO),
    *each("Content-Length", TWO_LENGTHS, with_length, refused(400)),
    *(Case(name, request(*lines, body=LAST + SMUGGLED), refused(400)) for name, lines in BOTH),
    *each("Transfer-Encoding", OTHER_CODINGS, with_coding, refused(501)),
    *each("Transfer-Encoding", STRANGE_CODINGS, with_coding, refused(400, 501)),
    *each("Transfer-Encoding", TWO_CODINGS, with_coding, refused(400, 501)),
    *each("Transfer-Encoding", MALFORMED_CODINGS, with_coding, refused(400)),
    *each("Transfer-Encoding", EMPTY_ELEMENTS, with_coding, HELLO + refused(400, 501)),
    *each("Transfer-Encoding", GOOD_CODINGS, with_coding, HELLO),
    *UNREAD,
]
