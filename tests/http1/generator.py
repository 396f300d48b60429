"""Streams of requests, valid and slightly invalid, generated from a seed."""

import random
import re
from typing import NamedTuple

from tests.http1 import chunks, framing, header_lines
from tests.http1.cases import AFTER_IT, SMUGGLED, chunk, request

# Bytes that the service accepts and h11 refuses, as differences.py explains. The tables test them.
LAXER = re.compile(rb"[0-9A-Fa-f][ \t]+;|\n(content-length|transfer-encoding):", re.IGNORECASE)
BYTES = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b":",
    b";",
    b",",
    b"=",
    b"\0",
    b"\x7f",
    b"a",
    b"0",
    b"9",
)
BODIES = (b"", b"hello", b"\r\n", b"0\r\n\r\n", SMUGGLED, b"x" * 300, bytes(range(256)))
LINES = (
    "Connection: keep-alive",
    "Connection: Upgrade\r\nUpgrade: h2c",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Expect: 100-continue",
    "X: \xe9\tb",
    "x-empty:",
    "Cookie: a=b; c=d",
    "TE: trailers",
    "Content-Type: application/json",
)
TRAILERS = ("", "X: from-trailer\r\n", "Connection: close\r\n", "Upgrade: h2c\r\n")
EXTENSIONS = ("", "", ";a", ";a=b", ';a="b c"')


class Stream(NamedTuple):
    """A stream, its segments, and the ids of the requests that may be refused."""

    data: bytes
    segments: list[bytes]
    doubtful: frozenset[str]


def generate(seed: int) -> Stream:
    """Return up to five requests, followed by a request that closes the connection."""
    dice = random.Random(seed)
    data, doubtful = b"", set()
    for number in range(dice.randint(1, 5)):
        message, is_doubtful = _message(dice, f"r{number}")
        data += message
        if is_doubtful:
            doubtful.add(f"r{number}")
    data += AFTER_IT
    return Stream(data, _split(dice, data), frozenset(doubtful))


def _message(dice: random.Random, tag: str) -> tuple[bytes, bool]:
    """Return a request, and whether anything is wrong with it."""
    lines = dice.sample(LINES, dice.randrange(4))
    wrong = dice.random() < 0.3
    kind = dice.choice(("line", "framing", "chunks", "byte")) if wrong else ""
    if kind == "line":
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(header_lines.MALFORMED))
    framing_lines, body = _wrong_framing(dice) if kind == "framing" else _framed(dice, kind)
    start = f"{dice.choice(('GET', 'POST', 'PUT', 'DELETE'))} /echo?{dice.randrange(100)} HTTP/1.1"
    message = request(*lines, *framing_lines, start=start, body=body, tag=tag)
    return (_mangled(dice, message) if kind == "byte" else message), wrong


def _framed(dice: random.Random, kind: str) -> tuple[list[str], bytes]:
    body = dice.choice(BODIES)
    how = "chunks" if kind == "chunks" else dice.choice(("none", "length", "chunks"))
    if how == "none":
        return [], b""
    if how == "length":
        return [f"Content-Length: {len(body)}"], body
    return ["Transfer-Encoding: chunked"], _in_chunks(dice, body, is_wrong=kind == "chunks")


def _in_chunks(dice: random.Random, body: bytes, is_wrong: bool) -> bytes:
    written = b""
    while body:
        size = dice.randint(1, len(body))
        extension = dice.choice(EXTENSIONS).encode()
        written += chunk(body[:size]).replace(b"\r\n", extension + b"\r\n", 1)
        body = body[size:]
    if is_wrong:
        written += dice.choice(chunks.MALFORMED_SIZES).encode("latin-1") + b"\r\nhello\r\n"
    return written + b"0\r\n" + dice.choice(TRAILERS).encode() + b"\r\n"


def _wrong_framing(dice: random.Random) -> tuple[list[str], bytes]:
    body = dice.choice(BODIES)
    length = dice.choice((*framing.MALFORMED_LENGTHS, *framing.TWO_LENGTHS, str(len(body) + 3)))
    coding = dice.choice((*framing.OTHER_CODINGS, *framing.TWO_CODINGS, "chunked"))
    lines = [f"Content-Length: {length}", f"Transfer-Encoding: {coding}"]
    return dice.sample(lines, dice.randint(1, 2)), body


def _mangled(dice: random.Random, message: bytes) -> bytes:
    """Return `message` with a byte inserted, removed or replaced after the line with its id."""
    first = message.index(b"\r\n", message.index(b"X-Request-ID")) + 2
    at = dice.randrange(first, len(message))
    kept = dice.choice((at, at + 1))
    put_in = dice.choice((*BYTES, b"")) if kept > at else dice.choice(BYTES)
    mangled = message[:at] + put_in + message[kept:]
    return message if LAXER.search(mangled) and not LAXER.search(message) else mangled


def _split(dice: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(dice.sample(range(1, len(data)), dice.randrange(12)))
    return [data[one:other] for one, other in zip([0, *cuts], [*cuts, len(data)], strict=True)]
