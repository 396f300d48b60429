"""Two thousand malformed requests, the same ones in every run, and not one 5xx."""

import random
import socket
from collections import Counter
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import bearer

REQUESTS = 2000
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
    """`text` with up to three pieces put into it, or parts of it lost."""
    for _ in range(random.randrange(4)):
        at = random.randrange(len(text) + 1)
        until = at if random.random() < 0.7 else min(len(text), at + random.randrange(8))
        text = text[:at] + random.choice(PIECES) + text[until:]
    return text


def malformed(random: random.Random, user: str, task_id: int) -> bytes:
    """One request, as bytes for the wire; its lines stay lines, the rest is open."""
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


@pytest.fixture
def answers(base_url: str, alice: str, client: httpx.Client) -> Counter[int]:
    """How often each status was answered."""
    task_id = client.post(f"/api/{alice}/tasks", json={"title": "Buy milk"}).json()["id"]
    host, port = urlsplit(base_url).hostname, urlsplit(base_url).port
    dice = random.Random(2026)
    seen: Counter[int] = Counter()
    for _ in range(REQUESTS):
        with closing(socket.create_connection((host, port), timeout=10)) as connection:
            connection.sendall(malformed(dice, alice, task_id))
            head = connection.recv(4096)
        seen[int(head.split(b" ")[1])] += 1
    return seen


def test_malformed_requests_are_all_answered_and_none_with_a_5xx(answers: Counter[int]) -> None:
    assert answers.total() == REQUESTS
    assert not [status for status in answers if status >= 500]
    # They went deep enough to be worth something: some were good, some were refused everywhere.
    assert {200, 201, 400, 401, 403, 404, 405} <= set(answers)
