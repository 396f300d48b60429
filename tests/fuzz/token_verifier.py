"""The fuzzer's harness for Authorization: a user only for a signed token, else a 401 or 503.

The first byte says what the others are. Kinds 1 and 2 are signed here, because a fuzzer can't
guess a signature:

0. lines of Authorization, sent unchanged;
1. a header and a payload with a NUL between them, to be signed with the secret;
2. the same, to be signed with the issuer's key;
3. a header, a payload and a signature.
"""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode
from types import SimpleNamespace
from typing import Any

from fastapi import Request

from auth import get_current_user  # before cryptography, as in the service: see tokens/verifier.py
from errors import APIError, Forbidden
from tests.fuzz.issuer_key import JWK, KID, PRIVATE_KEY
from tests.support.issuer import issuer
from tests.support.services import base64url
from tokens import jwks
from tokens.verifier import TokenVerifier

SECRET = "of the fuzzer, and of nothing else"
NEVER = 10.0**9  # seconds
EXPECTED = {401: "WWW-Authenticate", 503: "Retry-After"}  # the header of each status


async def _published() -> jwks.KeySet:
    """Return the issuer's keys, fetched once. From then on the key set does not fetch again."""
    with issuer() as frontend:
        frontend.body = json.dumps({"keys": [JWK]}).encode()
        keys = jwks.KeySet(f"{frontend.url}/api/auth/jwks", "https://issuer.example")
        await keys.refresh()
    keys._next_fetch += NEVER
    assert keys.named(KID, "EdDSA")
    return keys


KEYS = asyncio.run(_published())
APP = SimpleNamespace(state=SimpleNamespace(verifier=TokenVerifier(SECRET, keys=KEYS)))


def check(data: bytes) -> None:
    """Raise an exception if the service handles these bytes wrongly."""
    lines = lines_of(data[0] % 4, data[1:]) if data else []
    user_id = user_of(lines)
    if user_id is not None:
        _assert_signed(lines, user_id)
    assert len(KEYS.unknown) <= jwks.MAX_UNKNOWN


def lines_of(kind: int, rest: bytes) -> list[bytes]:
    if kind == 0:
        return rest.split(b"\n")
    header, payload, signature = (*rest.split(b"\0", 2), b"", b"")[:3]
    signed = f"{base64url(header)}.{base64url(payload)}"
    if kind == 1:
        signature = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
    elif kind == 2:
        signature = PRIVATE_KEY.sign(signed.encode())
    return [f"Bearer {signed}.{base64url(signature)}".encode()]


def user_of(lines: list[bytes]) -> str | None:
    """Return the user id that the service reads from the token, or None for a 401 or 503."""
    headers = [(b"authorization", line) for line in lines]
    request = Request({"type": "http", "headers": headers, "app": APP})
    try:
        get_current_user(request, "alice").send(None)
    except StopIteration as returned:
        return str(returned.value)
    except Forbidden:
        return str(request.scope["user_id"])
    except APIError as error:
        if error.headers.keys() != {EXPECTED[error.status]}:
            raise
        return None
    raise AssertionError("get_current_user waits for something")


def _assert_signed(lines: list[bytes], user_id: str) -> None:
    """Check the token independently of the service's code."""
    [line] = lines
    scheme, token = line.decode().split()
    assert scheme.lower() == "bearer"
    signed, _, signature = token.rpartition(".")
    header, claims = (_json(part) for part in signed.split("."))
    if header["alg"] == "HS256":
        expected = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
        assert signature == base64url(expected)
    else:
        assert (header["alg"], header["kid"]) in (("EdDSA", KID), ("Ed25519", KID))
        assert signature == base64url(PRIVATE_KEY.sign(signed.encode()))
        assert claims["iss"] == "https://issuer.example"
    assert claims["sub"] == user_id
    assert claims["exp"] > time.time() - 60
    assert len(token) <= 16 * 1024


def _json(part: str) -> Any:
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)), parse_int=float)
