"""Header lines (RFC 9112, sections 3.2 and 5; RFC 9110, section 5)."""

from tests.http1.cases import (
    LAST,
    SMUGGLED,
    Case,
    chunked,
    each,
    get,
    refused,
    request,
    responds,
    served,
    sized,
)

GOOD = served(method="GET")

MALFORMED_HOSTS = [
    "a b", "a, b", "a/b", "a@b", "tasks:80x", "tasks:80:80", "[::1", "http://tasks", "a\tb", "?",
    "#",
]  # fmt: skip
GOOD_HOSTS = [
    "", "tasks:8000", "tasks:", "127.0.0.1:80", "[::1]:8000", "a_b", "TASKS", "a.b.", "a%20b",
    "a,b",
]  # fmt: skip

MALFORMED = [
    "X : 1",  # RFC 9112, section 5.1
    "X\t: 1",
    "Host : tasks",
    "Content-Length : 5",
    "Transfer-Encoding : chunked",
    ": 1",
    " : 1",
    "X",
    "X 1",
    " X: 1",  # obs-fold, section 5.2
    "\tX: 1",
    "X: 1\r\n 2",
    "X: 1\r\n\t2",
    "X:\r\n 2",
    "Content-Length:\r\n 5",
    "Transfer-Encoding:\r\n chunked",
    "X Y: 1",
    "X(Y): 1",
    'X"Y": 1',
    "X/Y: 1",
    "X@Y: 1",
    "X[Y]: 1",
    "X{Y}: 1",
    "X\\Y: 1",
    "X,Y: 1",
    "X;Y: 1",
    "X<Y>: 1",
    "X=Y: 1",
    "X?Y: 1",
    "X\x00Y: 1",
    "X\x01Y: 1",
    "X\x7fY: 1",
    "X\xe9Y: 1",
    "\x00: 1",
    "X: \x00",
    "X: a\x00b",
    "X: \x01",
    "X: a\x08b",
    "X: a\x0bb",
    "X: a\x0cb",
    "X: a\x1fb",
    "X: a\x7fb",
    "X: a\rb",
    "X: a\r",
    "X: \r\r",
    "\rX: 1",
    "X\r: 1",
    "X: 1\r\rY: 1",
    "X: 1\nY: 1",  # a bare LF
    "X: 1\n",
    "\nX: 1",
    "X: 1\n\r",
    "X: 1\n\n" + SMUGGLED.decode(),
    "X: 1\n\r\n" + SMUGGLED.decode(),
    "X: 1\r\n\n" + SMUGGLED.decode(),
    "X: 1\r\r\n" + SMUGGLED.decode(),
]

GOOD_LINES = [
    "X:1", "X:", "X: ", "X:\t1", "X:  1  ", "X: 1\t", "X: a b\tc", "X: \xe9\xff\x80",
    'X: "a:b", c;d=e', "!#$%&'*+-.^_`|~09AZaz: 1", "X: " + "y" * 60_000, "X" * 1000 + ": 1",
    "X-A: 1\r\nX-A: 2", "Cookie: a=b\r\nCookie: c=d", "Connection: keep-alive",
    "Connection: closed", "Connection: x-close", "Connection: Upgrade", "Connection:",
    "Connection: ,", "Keep-Alive: timeout=5", "TE: trailers", "Trailer: X", "Content-Length: 0",
    "Date: never",
]  # fmt: skip

BARE_LF = [
    ("at the request line", get().replace(b"\r\n", b"\n", 1)),
    ("at each line", get().replace(b"\r\n", b"\n")),
    ("at the last header", get("X: 1").replace(b"1\r\n\r\n", b"1\n\r\n")),
    ("at the end of the head", get("X: 1").replace(b"1\r\n\r\n", b"1\r\n\n")),
    ("twice at the end of the head", get("X: 1").replace(b"1\r\n\r\n", b"1\n\n")),
]

CLOSING = [
    "close", "Close", "CLOSE", "keep-alive, close", "close, x", "x , close ", ",close,",
    "upgrade, close", "x\r\nConnection: close",
]  # fmt: skip

SERVED_LAST = served(method="GET", closes=True)
CONNECTION = [
    *each("Connection", CLOSING, lambda value: get(f"Connection: {value}") + SMUGGLED, SERVED_LAST),
    Case(
        "Connection: close and a body",
        sized(b"hello", "Connection: close") + SMUGGLED,
        served(b"hello", closes=True),
    ),
    Case(
        "Connection: close and chunks",
        chunked(LAST, "Connection: close") + SMUGGLED,
        served(closes=True),
    ),
    Case("Connection: close and garbage", get("Connection: close") + b"\0\r\n\r\n", SERVED_LAST),
]

BIG = "y" * 70_000
SIZES = [
    Case("100 header lines", get(*(f"X-{n}: 1" for n in range(98))), GOOD),
    Case("101 header lines", get(*(f"X-{n}: 1" for n in range(99))), refused(431)),
    Case("1000 header lines", get(*(f"X-{n}: 1" for n in range(1000))), refused(431)),
    Case("over 64 KiB in one line", get(f"X: {BIG}"), refused(431)),
    Case("over 64 KiB in many lines", get(*(f"X: {BIG[:1000]}" for _ in range(90))), refused(431)),
    Case("a header name over 64 KiB", get(f"{BIG}: 1"), refused(431)),
    Case("over 64 KiB before it is malformed", get(f"X: {BIG}\0"), refused(431, 400)),
]


def host(value: str) -> bytes:
    return request(start="GET /echo HTTP/1.1", host=f"Host: {value}")


TOKEN = "Authorization: Bearer x"
CASES = [
    Case("no Host", request(start="GET /echo HTTP/1.1", host=None), refused(400)),
    Case("two Hosts", get("Host: other"), refused(400)),
    Case("the same Host twice", get("Host: tasks"), refused(400)),
    Case("the first of two Hosts is empty", request("Host: b", host="Host:"), refused(400)),
    Case(
        "no Host with an absolute target",
        request(start="GET http://tasks/echo HTTP/1.1", host=None),
        refused(400),
    ),
    *each("Host", MALFORMED_HOSTS, host, refused(400)),
    *each("Host", GOOD_HOSTS, host, GOOD),
    *each("header", MALFORMED, get, refused(400)),
    *each("header", GOOD_LINES, get, GOOD),
    *(Case(f"bare LF {where}", stream, refused(400)) for where, stream in BARE_LF),
    *SIZES,
    *CONNECTION,
    Case("two Authorization lines", get(TOKEN, TOKEN, target="/api/alice/tasks"), responds(401)),
]
