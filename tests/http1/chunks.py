"""Bodies in chunks: sizes, extensions, data and trailers (RFC 9112, section 7)."""

from tests.http1.cases import (
    CLOSES,
    LAST,
    SMUGGLED,
    Case,
    chunk,
    chunked,
    each,
    refused,
    served,
)

HELLO = served(b"hello")
EMPTY = served()

MALFORMED_SIZES = [
    "", "0x5", "+5", "-5", " 5", "\t5", "g", "5g", "5 5", "5h", "x5", "5.", "5,", "5:", '"5"',
    "\x005", "5\x00", "\x0b5", "5\x0b", "\xb2", "00000000000000005", "fffffffffffffffff",
    "10000000000000005", "100000000000000000000000000000005", "5\r", "5\n", "\r5", "\n5", "5\rx",
    "5\r\r",
]  # fmt: skip
GOOD_SIZES = ["5", "05", "0000000000000005"]

GOOD_EXTENSIONS = [
    ";a", ";a=b", ";a=b;c=d", ';a="b c"', ';a="\\"\\\\"', ';a=";"', " ;a", " ; a = b", "\t;\ta",
    ";" + "a" * 5000, ";from-extension=" + "b" * 60_000, ';a="\xe9"',
]  # fmt: skip
# Extensions that the grammar does not allow, but that no parser can misunderstand.
STRANGE_EXTENSIONS = [
    " ",
    "\t",
    ";",
    ";;",
    ";a=",
    ";=b",
    ";a b",
    ';a="b',
    ";a=\x01",
    ";a\x00",
    ";\x7f",
    " x",
]
MALFORMED_EXTENSIONS = [
    ";a\n",
    ";a\nb",
    ";a\r",
    ";a\rb",
    ";\n",
    ';a="\n"',
    ';a="\r"',
    ";a\r\r",
]

# The bytes after the size line of a chunk of five bytes.
MALFORMED_DATA = [
    "helloXX0\r\n\r\n", "hello\n\n0\r\n\r\n", "hello\r\r0\r\n\r\n", "hello\nX0\r\n\r\n",
    "hello\rX0\r\n\r\n",
    "helloX\r\n0\r\n\r\n", "hello\r\r\n0\r\n\r\n", "hello\n0\r\n\r\n", "hello\r0\r\n\r\n",
    "hello0\r\n\r\n", "hello\n\r\n0\r\n\r\n", "hello\r\n\n0\r\n\r\n", "hello\r\n\r\n0\r\n\r\n",
    "hellohello\r\n0\r\n\r\n", "hello\r\nhello\r\n0\r\n\r\n", "hell\r\n0\r\n\r\n\r\n",
]  # fmt: skip
MALFORMED_ENDS = [
    "0\n\n",
    "0\n\r\n",
    "0\r\r\n",
    "0\r\n\rX",
    "0\r\n\n",
    "00x\r\n\r\n",
    "-0\r\n\r\n",
    "+0\r\n\r\n",
]

GOOD_TRAILERS = [
    "X: from-trailer", "X:", "X: from-trailer\r\nY: from-trailer", "Connection: close",
    "Content-Length: 5", "Content-Length: x", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip", "Host: from-trailer", "Host: a\r\nHost: b",
    "X-Request-ID: from-trailer", "Authorization: from-trailer", "Upgrade: h2c",
    "Connection: Upgrade\r\nUpgrade: h2c", "Expect: 100-continue", "Idempotency-Key: from-trailer",
    "X-Forwarded-For: from-trailer", "Content-Encoding: gzip", "X: " + "y" * 50_000,
    "\r\n".join(f"X-{n}: from-trailer" for n in range(90)),
]  # fmt: skip
# A malformed trailer may be dropped if every parser sees its end at the same place.
MALFORMED_TRAILERS = [
    "X", "X : 1", " X: 1", "X: 1\r\n 2", ": 1", "X Y: 1", "X: \x00", "X: \x01", "X\x00: 1",
    "GET / HTTP/1.1", "\r\n".join(f"Y-{n}: from-trailer" for n in range(150)),
]  # fmt: skip
BARE_TRAILERS = ["X: 1\n", "X: 1\nY: 2", "X: 1\r", "X: 1\rY: 2", "\nX: 1", "\rX: 1", "X: 1\n\n"]

TOO_MUCH = (*refused(400, 413, 431), CLOSES)
MUCH = [
    ("extension", chunked(b"5;" + b"x" * 70_000 + b"\r\nhello\r\n" + LAST)),
    ("in many extensions", chunked((b"1;%b\r\nx\r\n" % (b"x" * 1000)) * 80 + LAST)),
    ("in sizes of many chunks", chunked(b"0000000000000001\r\nx\r\n" * 4000 + LAST)),
    ("extension of the last chunk", chunked(b"0;" + b"x" * 70_000 + b"\r\n\r\n")),
    ("in one trailer", chunked(b"0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n")),
    ("in many trailers", chunked(b"0\r\n" + b"X: y\r\n" * 12_000 + b"\r\n")),
    ("extension without an end", chunked(b"5;" + b"x" * 70_000)),
    ("trailer without an end", chunked(b"0\r\nX: " + b"y" * 70_000)),
    ("zeros of a size", chunked(b"0" * 70_000)),
]  # fmt: skip


def size(value: str) -> bytes:
    return chunked(value.encode("latin-1") + b"\r\nhello\r\n" + LAST)


def extension(value: str) -> bytes:
    return size("5" + value)


def trailers(value: str) -> bytes:
    return chunked(chunk(b"hello") + b"0\r\n" + value.encode("latin-1") + b"\r\n\r\n")


CASES = [
    Case("no chunk", chunked(LAST), EMPTY),
    Case("one chunk", chunked(chunk(b"hello") + LAST), HELLO),
    Case(
        "a chunk for each byte", chunked(b"1\r\nh\r\n1\r\ne\r\n2\r\nll\r\n1\r\no\r\n" + LAST), HELLO
    ),
    Case("an upper-case size", chunked(b"A\r\n0123456789\r\n" + LAST), served(b"0123456789")),
    Case("a lower-case size", chunked(b"a\r\n0123456789\r\n" + LAST), served(b"0123456789")),
    Case("many zeros in the last chunk size", chunked(chunk(b"hello") + b"0000\r\n\r\n"), HELLO),
    Case("a chunk that looks like a request", chunked(chunk(SMUGGLED) + LAST), served(SMUGGLED)),
    Case("a chunk that looks like the last", chunked(chunk(LAST) + LAST), served(LAST)),
    Case("a last chunk with an extension", chunked(chunk(b"hello") + b"0;a=b\r\n\r\n"), HELLO),
    *each("chunk size", MALFORMED_SIZES, size, refused(400)),
    *each("chunk size", GOOD_SIZES, size, HELLO),
    *each("extension", GOOD_EXTENSIONS, extension, HELLO),
    *each("extension", STRANGE_EXTENSIONS, extension, HELLO + refused(400)),
    *each("extension", MALFORMED_EXTENSIONS, extension, refused(400)),
    *each("data", MALFORMED_DATA, lambda data: chunked(b"5\r\n" + data.encode()), refused(400)),
    *each("end", MALFORMED_ENDS, lambda end: chunked(chunk(b"hello") + end.encode()), refused(400)),
    *each("trailers", GOOD_TRAILERS, trailers, HELLO),
    *each("trailers", MALFORMED_TRAILERS, trailers, HELLO + refused(400)),
    *each("trailers", BARE_TRAILERS, trailers, refused(400)),
    *(Case(f"over 64 KiB: {where}", stream, TOO_MUCH) for where, stream in MUCH),
]
