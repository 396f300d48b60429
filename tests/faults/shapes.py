"""Requests of variable size, without a token, for tests/faults/test_cost.py.

tests/faults/test_cost_of_framing.py covers HTTP itself; these requests cover the work that the
service does with a request. To add one, add a line to one of the tables.
"""

import itertools
import json
from base64 import urlsafe_b64encode

from tests.faults.costs import Shape, repeated, request

TASKS = b"/api/alice/tasks"
ORIGIN = b"Origin: http://localhost:3000"
PREFLIGHT = (ORIGIN, b"Access-Control-Request-Method: GET")


def target(
    name: str, piece: bytes, before: bytes = b"/", after: bytes = b"", method: bytes = b"GET"
) -> Shape:
    """Return a shape whose path or query repeats `piece`."""
    return Shape(name, lambda size: request(before + repeated(piece, size) + after, method=method))


def header(name: str, line: bytes, piece: bytes, *others: bytes, method: bytes = b"GET") -> Shape:
    """Return a shape with a header line that begins with `line` and repeats `piece`."""
    return Shape(
        name,
        lambda size: request(TASKS, line + repeated(piece, size), *others, method=method),
    )


def body(name: str, piece: bytes, path: bytes = TASKS, method: bytes = b"POST") -> Shape:
    """Return a shape whose body has a Content-Length and repeats `piece`."""

    def of(size: int) -> bytes:
        content = repeated(piece, size)
        lines = (b"Content-Type: application/json", b"Content-Length: %d" % len(content))
        return request(path, *lines, method=method, body=content)

    return Shape(name, of)


def nested_token(size: int) -> bytes:
    """Return a request whose token has nested lists; a token may have up to 16 KiB."""
    part = urlsafe_b64encode(b"[" * (size // 12)).rstrip(b"=")
    header = urlsafe_b64encode(json.dumps({"alg": "HS256"}).encode()).rstrip(b"=")
    return request(TASKS, b"Authorization: Bearer " + b".".join((header, part, part)))


def ranges(size: int) -> bytes:
    """Return a request for many ranges of one byte each, which can't be merged."""
    each = b",".join(b"%d-%d" % (at, at) for at in range(0, size // 4, 2))
    return request(b"/docs/assets/swagger-ui.css", b"Range: bytes=" + each[:size])


PATHS = (
    target("path: slashes and percent signs", b"/%"),
    target("path: parts of one encoded letter", b"/%41"),
    target("path: parts of one letter", b"/a"),
    target("path: slashes", b"/"),
    target("path: encoded slashes", b"%2F"),
    target("path: encoded newlines", b"%0A"),
    target("path: percent signs", b"%"),
    target("path: encoded letters", b"%41"),
    target("path: encoded UTF-8", b"%C3%A9"),
    target("path: encoded bytes that are not UTF-8", b"%FF"),
    target("path: letters", b"a"),
    target("path: dots", b"/.."),
    target("user id: letters", b"a", b"/api/", b"/tasks"),
    target("user id: encoded slashes", b"%2F", b"/api/", b"/tasks"),
    target("user id: percent signs", b"%", b"/api/", b"/tasks"),
    target("user id: percent signs, 405", b"%", b"/api/", b"/tasks", b"DELETE"),
    target("user id: encoded slashes, 405", b"%2F", b"/api/", b"/tasks", b"DELETE"),
    target("task id: digits", b"9", b"/api/alice/tasks/"),
    target("documentation: name of a file", b"a", b"/docs/assets/"),
    target("documentation: encoded slashes", b"%2F", b"/docs/assets/"),
)
QUERIES = tuple(
    target(f"query of {place}: {piece.decode()}", piece, path + b"?")
    for path, place in ((TASKS, "tasks"), (b"/health/live", "health"))
    for piece in (b"a=1&", b"&", b"a&", b"%41", b"%", b";", b"status=all&", b"cursor=a&")
)
HEADERS = (
    header("token: parts", b"Authorization: Bearer ", b"a."),
    header("token: dots", b"Authorization: Bearer ", b"."),
    header("token: beginnings", b"Authorization: Bearer ", b"eyJ."),
    header("token: spaces", b"Authorization: Bearer", b" "),
    header("token: long payload", b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.", b"a", b""),
    header("token: no scheme", b"Authorization: ", b"a"),
    Shape("token: lists in lists", nested_token),
    header("Cookie", b"Cookie: ", b"a=b; "),
    header("Accept", b"Accept: ", b"*/*,"),
    header("Accept-Encoding", b"Accept-Encoding: ", b"gzip;q=0,"),
    header("Content-Type", b"Content-Type: ", b"a/b;"),
    header("Origin", b"Origin: ", b"https://a."),
    header("Origin: dots", b"Origin: https://app-", b"."),
    header("preflight: commas", b"Access-Control-Request-Headers: ", b",", *PREFLIGHT,
           method=b"OPTIONS"),
    header("preflight: headers that are allowed", b"Access-Control-Request-Headers: ", b"accept,",
           *PREFLIGHT, method=b"OPTIONS"),
    header("preflight: a long method", b"Access-Control-Request-Method: ", b"A", ORIGIN,
           method=b"OPTIONS"),
    header("X-Request-ID", b"X-Request-ID: ", b"a"),
    # The response to a refused head repeats these two headers.
    header("Origin: white space, refused", b"Origin:", b" ", b"A: \x01"),
    header("X-Request-ID: white space, refused", b"X-Request-ID:", b"\t", b"A: \x01"),
    header("Origin: white space and a forbidden byte", b"Origin:", b" ", b"\x01"),
    header("If-Match: commas", b"If-Match: ", b'"",,'),
    header("If-None-Match: no end", b"If-None-Match: ", b'"a" '),
    header("Idempotency-Key", b"Idempotency-Key: ", b"a"),
    header("traceparent", b"traceparent: ", b"00-"),
    header("tracestate", b"tracestate: ", b"a=b,"),
    header("baggage", b"baggage: ", b"a=%41,"),
    header("User-Agent", b"User-Agent: ", b"a"),
    header("Forwarded", b"Forwarded: ", b"for=a,"),
    header("X-Forwarded-For: addresses", b"X-Forwarded-For: ", b"10.0.0.1, "),
    header("X-Forwarded-For: commas", b"X-Forwarded-For: ", b","),
    header("X-Forwarded-For: a long port", b"X-Forwarded-For: [::1]:", b"9"),
    header("X-Forwarded-For: an IPv6 address", b"X-Forwarded-For: ", b"1:"),
    header("X-Forwarded-Proto", b"X-Forwarded-Proto: ", b"https,"),
    Shape("Range: one byte each", ranges),
)  # fmt: skip
BODIES = (
    body("body: lists in lists", b"["),
    body("body: objects in objects", b'{"a":'),
    body("body: spaces", b" "),
    body("body that nobody reads", b"[", b"/health/live", b"GET"),
    body("body for an unknown path", b"[", b"/nowhere"),
    body("body with a method that the path lacks", b"[", TASKS, b"DELETE"),
)


_addresses = (b"10.%d.%d.1" % divmod(number % 65536, 256) for number in itertools.count())


def distinct_addresses(size: int) -> bytes:
    """Return a request with a chain of trusted proxies, new each time: the service caches heads."""
    chain = b",".join(itertools.islice(_addresses, size // 11))
    return request(TASKS, b"X-Forwarded-For: " + chain)


BEHIND_A_PROXY = (
    Shape("proxy: trusted addresses", distinct_addresses),
    *(shape for shape in HEADERS if "Forwarded" in shape.name),
)

WITH_TELEMETRY = (
    PATHS[0],
    *QUERIES[:5],
    *(shape for shape in HEADERS if shape.name in ("traceparent", "tracestate", "baggage")),
    header("Host: dots", b"Host: ", b"a."),
)
