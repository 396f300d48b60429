"""Requests that concern the connection: upgrades, tunnels, expectations and pipelines."""

from tests.http1.cases import (
    LAST,
    SMUGGLED,
    Case,
    Outcome,
    Summary,
    chunk,
    chunked,
    echo,
    get,
    refused,
    request,
    responds,
    served,
    sized,
)

UPGRADES = {
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQC"),
    "websocket": (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "anything": ("connection: upgrade", "upgrade: anything/1"),
    "several": ("Connection: keep-alive, Upgrade", "Upgrade: h2c, websocket;q=1, TLS/1.0"),
    "a lone Upgrade": ("Upgrade: h2c",),
    "a lone Connection: Upgrade": ("Connection: Upgrade",),
    "an empty Upgrade": ("Connection: Upgrade", "Upgrade:"),
    "two Upgrades": ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
}


def offers(name: str, *lines: str) -> list[Case]:
    """Return requests that offer an upgrade, without a body and with a body of each framing."""
    first, second = sized(SMUGGLED, *lines), sized(b"hello", *lines, tag="r2")
    return [
        Case(f"{name} in a GET", get(*lines), served(method="GET")),
        Case(f"{name} with a body", first, served(SMUGGLED)),
        Case(f"{name} with chunks", chunked(chunk(SMUGGLED) + LAST, *lines), served(SMUGGLED)),
        Case(
            f"{name} twice", first + second, (Outcome((echo(SMUGGLED), echo(b"hello", tag="r2"))),)
        ),
        Case(
            f"{name} for an unread body",
            request(
                *lines,
                f"Content-Length: {len(SMUGGLED)}",
                start="GET /health/live HTTP/1.1",
                body=SMUGGLED,
            ),
            responds(200),
        ),
        Case(
            f"{name} and close",
            get(*lines, "Connection: close") + SMUGGLED,
            served(method="GET", closes=True),
        ),
        Case(
            f"{name} that expects 100",
            sized(SMUGGLED, *lines, "Expect: 100-continue"),
            served(SMUGGLED),
        ),
    ]


REFUSALS = refused(400, 404, 405, 501) + responds(400, 404, 405, 501, closes=True)
TUNNELS = [
    Case("CONNECT", request(start="CONNECT tasks:443 HTTP/1.1") + SMUGGLED, REFUSALS),
    Case("CONNECT to a path", request(start="CONNECT /echo HTTP/1.1") + SMUGGLED, REFUSALS),
    Case("CONNECT to a URL", request(start="CONNECT http://tasks/echo HTTP/1.1"), REFUSALS),
    Case(
        "CONNECT with a body",
        request("Content-Length: 5", start="CONNECT tasks:443 HTTP/1.1", body=b"hello") + SMUGGLED,
        REFUSALS,
    ),
    Case(
        "CONNECT with chunks",
        request("Transfer-Encoding: chunked", start="CONNECT tasks:443 HTTP/1.1", body=LAST)
        + SMUGGLED,
        REFUSALS,
    ),
    Case("CONNECT and garbage", request(start="CONNECT tasks:443 HTTP/1.1") + b"\0\1\2", REFUSALS),
]

EXPECTED = "Expect: 100-continue"
EXPECTATIONS = [
    Case("an expectation", sized(b"hello", EXPECTED), served(b"hello")),
    Case("an expectation in capitals", sized(b"hello", "EXPECT: 100-CONTINUE"), served(b"hello")),
    Case("an expectation of chunks", chunked(chunk(b"hello") + LAST, EXPECTED), served(b"hello")),
    Case("an expectation without a body", get(EXPECTED), served(method="GET")),
    # RFC 9110, section 10.1.1: 417 is allowed.
    Case(
        "an unknown expectation",
        sized(b"hello", "Expect: 200-ok"),
        served(b"hello") + responds(417) + refused(417),
    ),
]

PIPELINES = [
    Case(
        "requests of every framing",
        get(tag="r1")
        + sized(b"one", tag="r2")
        + chunked(chunk(b"two") + LAST, tag="r3")
        + get(tag="r4"),
        (
            Outcome(
                (
                    echo(method="GET"),
                    echo(b"one", tag="r2"),
                    echo(b"two", tag="r3"),
                    echo(method="GET", tag="r4"),
                )
            ),
        ),
    ),
    Case(
        "a HEAD, an error and a body",
        request(start="HEAD /echo HTTP/1.1", tag="head1")
        + get(target="/nowhere", tag="r2")
        + sized(b"hello", tag="r3"),
        (Outcome((Summary("head1", 200), Summary("r2", 404), echo(b"hello", tag="r3"))),),
    ),
    Case(
        "two malformed requests",
        get("X : 1", tag="r1") + get("X : 1", tag="r2"),
        refused(400),
    ),
    Case(
        "a malformed request after two good ones",
        get(tag="r1") + sized(b"hello", tag="r2") + b"\0\r\n\r\n" + SMUGGLED,
        (
            Outcome(
                (echo(method="GET"), echo(b"hello", tag="r2"), Summary(None, 400)),
                closes=True,
            ),
        ),
    ),
    Case(
        "a malformed body after a good request",
        get(tag="r1") + chunked(b"x\r\n", tag="r2") + SMUGGLED,
        (Outcome((echo(method="GET"), Summary(None, 400)), closes=True),),
    ),
]

CASES = [
    *(case for name, lines in UPGRADES.items() for case in offers(name, *lines)),
    *TUNNELS,
    *EXPECTATIONS,
    *PIPELINES,
]
