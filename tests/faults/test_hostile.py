"""Hostile input: valid and invalid requests from the OpenAPI document, random bytes, and tokens."""

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from config import ROOT
from serving.protocol import REQUEST_TIMEOUT
from tests.faults import report
from tests.faults.load import TASKS
from tests.faults.wire import Answer, answer, request
from tests.support.malformed import PIECES, malformed, mangled
from tests.support.processes import Service
from tests.support.services import forge
from tests.support.serving import SECRET
from tokens.verifier import make_token

NOT_OURS = (501, 505)  # an unknown method, coding or version
HERE = Path(__file__).parent
SEED = 2026
EXAMPLES = 30  # of each operation, in each phase
REQUESTS = 2000

MALICE: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, float("inf"), float("nan"), 10**400, "", " ", "alice", "bob", "\0",
    "\ud800", "../bob", "a" * 300, "alice\r\nX: y", [], ["alice"], {}, {"sub": "bob"}, "9" * 5000,
)  # fmt: skip
ALGORITHMS = ("HS256", "none", "None", "HS384", "RS256", "", None, 1, ["HS256"])


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    """Run all of its checks on the document that the service serves, with a real token."""
    command = (
        *(str(Path(sys.executable).with_name("st")), "--config-file"),
        *(str(HERE / "schemathesis.toml"), "run", f"http://127.0.0.1:{service.port}/openapi.json"),
        *("--checks", "all", "--seed", str(SEED), "-n", str(EXAMPLES), "--no-color"),
    )
    environment = os.environ | {
        "TOKEN": make_token("alice", SECRET),
        "SCHEMATHESIS_HOOKS": "tests.faults.hooks",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    print(done.stdout)  # noqa: T201
    assert done.returncode == 0, done.stdout + done.stderr
    [cases] = re.findall(r"(\d+) generated", done.stdout)
    [operations] = re.findall(r"Tested: (\d+)", done.stdout)
    assert int(cases) > 400
    report.remark(
        "schemathesis with all of its checks",
        {"requests": int(cases), "operations": int(operations), "failures": 0},
        "every response matches the OpenAPI document",
    )


async def exchange(service: Service, text: bytes) -> Answer | None:
    """Return the response, or None if the service disconnected, as it may on malformed requests.

    Raise TimeoutError if the service does neither in time.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(text)
        async with asyncio.timeout(REQUEST_TIMEOUT + 5):
            with suppress(ConnectionError, EOFError):
                return await answer(reader)
        return None
    finally:
        writer.transport.abort()


def answers(service: Service, texts: Iterator[bytes]) -> Counter[str]:
    """Count the statuses, and check that each error has a code and that none is a 500 or 503."""
    seen: Counter[str] = Counter()

    async def ask(text: bytes) -> None:
        got = await exchange(service, text)
        seen[str(got.status) if got else "none"] += 1
        if got and got.status >= 400 and not text.startswith(b"HEAD"):
            assert set(got.json) >= {"detail", "code"}, text
        assert got is None or got.status < 500 or got.status in NOT_OURS, text

    async def ask_all(group: asyncio.TaskGroup) -> None:
        for text in texts:
            # The service waits for the rest of some requests, so do not wait for their responses.
            await asyncio.wait([group.create_task(ask(text))], timeout=1)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(ask_all(group))

    asyncio.run(work())
    assert "Traceback" not in "\n".join(service.lines)
    return seen


def note(done: str, seen: Counter[str]) -> None:
    report.remark(
        f"{seen.total():,} {done}", {"responses": dict(sorted(seen.items()))}, "no 5xx response"
    )


def test_requests_with_random_bytes_in_their_parts(service: Service) -> None:
    dice = random.Random(SEED)
    seen = answers(service, (malformed(dice, "alice", 1) for _ in range(REQUESTS)))
    assert {"200", "201", "400", "401", "403", "404", "405"} <= set(seen)
    note("requests with random paths, queries, tokens and bodies", seen)


def broken(dice: random.Random) -> bytes:
    """Return a request broken at random bytes. It ends with the blank line that ends any head."""
    method = dice.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"))
    text = request(method, TASKS, "alice", {"title": "Buy milk"})
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(text))
        kind = dice.randrange(3)
        if kind == 0:
            text = text[:at] + bytes([dice.randrange(256)]) + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + dice.choice((*PIECES, b"\r\n", b"\n", b":", b" ")) + text[at:]
        else:
            text = text[:at] + text[at + dice.randrange(1, 40) :]
    return text + b"\r\n\r\n" * 2 + b" " * 40


def test_requests_broken_at_random_bytes(service: Service) -> None:
    dice = random.Random(SEED)
    seen = answers(service, (broken(dice) for _ in range(REQUESTS)))
    assert {"200", "400", "401", "404"} <= set(seen)
    note("requests with random bytes changed", seen)


def hostile_token(dice: random.Random) -> tuple[str, str]:
    """Return a signed token with hostile claims, perhaps mangled afterwards, and a user."""
    claims: dict[str, Any] = {"sub": "alice", "exp": int(time.time()) + 600}
    header: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
    for _ in range(dice.randrange(3)):
        claims[dice.choice(("sub", "exp", "nbf", "iat", "iss", "aud", "id"))] = dice.choice(MALICE)
    if dice.random() < 0.3:
        name = dice.choice(("typ", "crit", "kid", "jku", "b64", "zip"))
        header |= {"alg": dice.choice(ALGORITHMS), name: dice.choice(MALICE)}
    payload = claims if dice.random() < 0.9 else dice.choice((b"[" * 5000, b"\xff", b"", b"1"))
    token = forge(payload, header).encode()
    if dice.random() < 0.3:
        token = mangled(dice, token)
    user = claims["sub"] if isinstance(claims["sub"], str) else "alice"
    text = token.translate(None, b"\r\n\0").decode("latin-1")
    return text, quote(user.encode(errors="replace"), safe="") or "alice"


def with_token(dice: random.Random) -> bytes:
    token, user = hostile_token(dice)
    head = f"GET /api/{user}/tasks?limit=1 HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer "
    return head.encode() + token.encode("latin-1") + b"\r\n\r\n"


def test_tokens_with_hostile_claims(service: Service) -> None:
    dice = random.Random(SEED)
    seen = answers(service, (with_token(dice) for _ in range(REQUESTS)))
    assert {"200", "401"} <= set(seen)
    note("tokens with hostile claims or headers", seen)
