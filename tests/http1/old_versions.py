"""HTTP/1.0, in which a connection closes unless the client asks to keep it."""

from tests.http1.cases import LAST, SMUGGLED, Case, chunk, refused, request, served

GET, POST = "GET /echo HTTP/1.0", "POST /echo HTTP/1.0"
CHUNKED = "Transfer-Encoding: chunked"
SERVED = served(method="GET", closes=True)

CASES = [
    Case("HTTP/1.0", request(start=GET, host=None), SERVED),
    Case("HTTP/1.0 with Host", request(start=GET), SERVED),
    Case("HTTP/1.0 with two Hosts", request("Host: other", start=GET), refused(400)),
    Case(
        "HTTP/1.0 keep-alive",
        request("Connection: keep-alive", start=GET, host=None),
        SERVED + served(method="GET"),
    ),
    Case("HTTP/1.0 close", request("Connection: close", start=GET, host=None), SERVED),
    Case(
        "HTTP/1.0 with a body",
        request("Content-Length: 5", start=POST, body=b"hello" + SMUGGLED),
        served(b"hello", closes=True),
    ),
    # RFC 9112, section 6.1: such a request has faulty framing, and its connection closes.
    Case(
        "HTTP/1.0 with chunks",
        request(CHUNKED, start=POST, body=LAST + SMUGGLED),
        served(closes=True) + refused(400, 501),
    ),
    Case(
        "HTTP/1.0 keep-alive with chunks",
        request(
            "Connection: keep-alive", CHUNKED, start=POST, body=chunk(b"hello") + LAST + SMUGGLED
        ),
        served(b"hello", closes=True) + refused(400, 501),
    ),
    # RFC 9110, section 10.1.1: an HTTP/1.0 client never gets a 100.
    Case(
        "HTTP/1.0 that expects 100",
        request("Expect: 100-continue", "Content-Length: 2", start=POST, body=b"hi"),
        served(b"hi", closes=True),
    ),
    Case(
        "HTTP/1.0 that offers an upgrade",
        request("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 2", start=POST, body=b"hi"),
        served(b"hi", closes=True),
    ),
]
