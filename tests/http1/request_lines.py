"""Request lines, versions and targets (RFC 9112, sections 2.3 and 3)."""

from tests.http1.cases import (
    CLOSES,
    Case,
    each,
    get,
    refused,
    request,
    responds,
    served,
    sized,
)

MALFORMED = [
    "GET /echo",  # HTTP/0.9
    "GET",
    "GET  HTTP/1.1",
    "GET /echo HTTP",
    "GET /echo HTTP/ 1.1",
    "GET /echo HTTP /1.1",
    "GET /echo HTTP/1.1 ",
    "GET /echo HTTP/1.1 x",
    "GET\t/echo HTTP/1.1",
    "GET /echo\tHTTP/1.1",
    "GET /ec ho HTTP/1.1",
    "GET /ec\tho HTTP/1.1",
    "GET /ec\x00ho HTTP/1.1",
    "GET /ec\x01ho HTTP/1.1",
    "GET /ec\x0cho HTTP/1.1",
    "GET /ec\x7fho HTTP/1.1",
    "GET /ec\rho HTTP/1.1",
    " GET /echo HTTP/1.1",
    "\tGET /echo HTTP/1.1",
    "G(T /echo HTTP/1.1",
    "G\x00T /echo HTTP/1.1",
    "G\xc4T /echo HTTP/1.1",
    "GET: /echo HTTP/1.1",
    "/echo HTTP/1.1",
    "GET echo HTTP/1.1",
    "GET tasks:80 HTTP/1.1",
    "GET ?x HTTP/1.1",
    "HTTP/1.1 200 OK",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    "\x00",
]

# Text that is not a version, in the place of the version.
NOT_VERSIONS = [
    "HTTP/", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/1.1.1", "HTTP/01.1", "HTTP/1.10", "HTTP/11",
    "HTTP/1,1", "HTTP/-1.1", "HTTP/x.1", "http/1.1", "HTTPS/1.1", "ICE/1.0", "RTSP/1.0",
]  # fmt: skip

VERSIONS = [
    ("HTTP/0.9", refused(400, 505)),
    ("HTTP/0.0", refused(400, 505)),
    ("HTTP/2.0", refused(505)),
    ("HTTP/2.1", refused(505)),
    ("HTTP/3.0", refused(505)),
    ("HTTP/9.9", refused(505)),
    # RFC 9110, section 2.5: a higher minor version may be treated as the highest known one.
    ("HTTP/1.2", served(method="GET") + refused(505)),
    ("HTTP/1.9", served(method="GET") + refused(505)),
]

TARGETS = [
    ("/echo?a=1&b=%20", served(method="GET", target="/echo?a=1&b=%20")),
    ("/echo?a?b/c", served(method="GET", target="/echo?a?b/c")),
    ("/%65cho", served(method="GET", target="/%65cho")),
    # RFC 9112, section 3.2.2: with an absolute target, the Host line is ignored.
    ("http://tasks/echo", served(method="GET")),
    ("http://tasks/echo?a=1", served(method="GET", target="/echo?a=1")),
    ("http://other.example:81/echo", served(method="GET")),
    ("https://tasks/echo", served(method="GET") + responds(421) + refused(400)),
    ("HTTP://TASKS/echo", served(method="GET")),
    ("http://tasks", responds(404, 307)),
    ("http://tasks/nowhere", responds(404)),
    ("http://", refused(400)),
    ("http:///echo", refused(400)),  # RFC 9110, section 4.2.1: an empty host is invalid
    ("*", refused(400) + responds(404)),
    ("//echo", responds(404)),
    ("/echo#fragment", served(method="GET") + refused(400)),
    ("/echo?x#fragment", served(method="GET", target="/echo?x") + refused(400)),
    ("/ech%6", responds(404) + refused(400)),
    ("/echo?\xe9", served(method="GET", target="/echo?\xe9") + refused(400)),
    ("/ech\xe9", responds(404) + refused(400)),
    ('/echo?"<>\\^`{|}', served(method="GET", target='/echo?"<>\\^`{|}') + refused(400)),
    ("/echo?" + "x" * 70_000, refused(431, 414)),
]

METHODS = [
    *each(
        "method",
        ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
        lambda name: request(start=f"{name} /echo?{name} HTTP/1.1"),
        responds(200),
    ),
    Case(
        "method HEAD", request(start="HEAD /echo HTTP/1.1", tag="head1"), responds(200, tag="head1")
    ),
    # RFC 9110, section 9.1: 501 for an unknown method, 405 for one that is not allowed.
    *each(
        "unknown method",
        ("get", "PROPFIND", "TRACE", "FROBNICATE", "M-SEARCH", "~!#$%&'*+-.^_`|", "X" * 200),
        lambda name: request(start=f"{name} /echo HTTP/1.1"),
        responds(405, 501) + refused(400, 405, 501),
    ),
    Case(
        "OPTIONS *",
        request(start="OPTIONS * HTTP/1.1"),
        responds(200, 204, 400, 404, 405) + refused(400),
    ),
    Case(
        "the preface of HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        refused(505),
    ),
    Case("a method without an end", b"X" * 70_000, refused(400, 431)),
]

EMPTY_LINES = [
    Case("an empty line before a request", b"\r\n" + get(), served(method="GET")),
    Case("a hundred empty lines before a request", b"\r\n" * 100 + get(), served(method="GET")),
    Case("an empty line after a body", sized(b"hello") + b"\r\n", served(b"hello")),
    Case("over 64 KiB of empty lines", b"\r\n" * 40_000, (*refused(400, 431), CLOSES)),
    Case("a bare LF before a request", b"\n" + get(), served(method="GET") + refused(400)),
    Case("a bare CR before a request", b"\r" + get(), refused(400)),
    Case("white space before a request", b"  \r\n" + get(), refused(400)),
]

CASES = [
    *each("request line", MALFORMED, lambda line: request(start=line), refused(400)),
    # RFC 9112, section 3: white space of any length may be read as one space.
    *each(
        "request line",
        ("GET  /echo HTTP/1.1", "GET /echo  HTTP/1.1"),
        lambda line: request(start=line),
        refused(400) + served(method="GET"),
    ),
    *each(
        "version",
        NOT_VERSIONS,
        lambda version: request(start=f"GET /echo {version}"),
        refused(400, 505),
    ),
    *(
        Case(f"version {version}", request(start=f"GET /echo {version}"), outcomes)
        for version, outcomes in VERSIONS
    ),
    *(
        Case(f"target {target[:40]!r}", request(start=f"GET {target} HTTP/1.1"), outcomes)
        for target, outcomes in TARGETS
    ),
    *METHODS,
    *EMPTY_LINES,
]
