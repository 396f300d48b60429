"""Malformed requests."""

import random

from tests.support.serving import bearer

PIECES = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"%00", b"%ff", b"%ED%A0%80", b"..", b"//", b"'", b'"', b"%",
    b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9223372036854775808", b"[" * 2000, b"{" * 2000,
    b"\\ud800", b"\\u0000", b"null", b"true", b"\xf0\x9f\x92\xa9", b" " * 300, b"a" * 3000, b"\t",
)  # fmt: skip
BODIES = (
    b'{"title": "Buy milk", "description": "Two litres"}',
    b'{"title": "\xf0\x9f\xa5\x9b", "completed": true, "id": 7, "user_id": "bob"}',
    b"{}",
    b"[]",
    b'"text"',
    b"",
)


def mangled(random: random.Random, text: bytes) -> bytes:
    """Return `text` with up to three pieces inserted, which may replace some of its bytes."""
    for _ in range(random.randrange(4)):
        at = random.randrange(len(text) + 1)
        until = at if random.random() < 0.7 else min(len(text), at + random.randrange(8))
        text = text[:at] + random.choice(PIECES) + text[until:]
    return text


def malformed(random: random.Random, user: str, task_id: int) -> bytes:
    """Return the bytes of one request. Its line breaks stay intact; other parts may be mangled."""
    method = random.choice((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"QUERY"))
    tails = (
        "",
        f"/{task_id}",
        f"/{task_id}/complete",
        "?limit=5&cursor=abc",
        "?sort=title&order=asc",
    )
    target = mangled(random, f"/api/{user}/tasks{random.choice(tails)}".encode())
    target = b"".join(b"%%%02x" % byte if byte <= 32 else bytes([byte]) for byte in target)
    token = bearer(user)["Authorization"].encode()
    if random.random() < 0.3:
        token = mangled(random, token)
    body = mangled(random, random.choice(BODIES))
    media_type = random.choice(
        (b"application/json", b"application/json; charset=utf-16", b"text/x")
    )
    return b"\r\n".join(
        (
            b"%s %s HTTP/1.1" % (method, target),
            b"Host: localhost",
            b"Connection: close",
            b"Authorization: " + token.replace(b"\x00", b""),
            b"Content-Type: " + media_type,
            b"Content-Length: %d" % len(body),
            b"",
            body,
        )
    )
