"""Read a token without verifying it, because the API verifies every token."""

import base64
import binascii
import json
import math
import re
import time
from typing import Any, NamedTuple

LEEWAY = 10  # seconds of clock difference; the API allows the same
MAX_LENGTH = 16 * 1024  # characters; the API has the same limit
SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidToken(ValueError):
    """A token that can't be used. The message is for the user and never contains the token."""


class Caller(NamedTuple):
    """The user who calls a tool, and the user's token."""

    user_id: str
    token: str
    expires_at: float = math.inf  # seconds since 1970

    @property
    def has_expired(self) -> bool:
        return self.expires_at + LEEWAY < time.time()


def caller_of(token: str) -> Caller:
    """Return the user of `token`, a JWT. Raises InvalidToken."""
    claims = _claims(token)
    user_id, expires_at = claims.get("sub"), claims.get("exp")
    if not isinstance(user_id, str) or not user_id.strip():
        raise InvalidToken("The token names no user (sub).")
    # Clients remove a part of a path that consists of dots (RFC 3986, section 5.2.4).
    if user_id in (".", "..") or SURROGATE.search(user_id):
        raise InvalidToken("The user id (sub) in the token can't be part of a URL.")
    if not isinstance(expires_at, int | float):
        raise InvalidToken("The token has no expiry time (exp).")
    return Caller(user_id, token, expires_at)


def _claims(token: str) -> dict[str, Any]:
    """Return the payload of a JWT (RFC 7519, section 3). Raises InvalidToken."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3 or not token.isascii():
        raise InvalidToken("The token is not a JWT.")
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), b"-_", validate=True)
        claims = json.loads(payload)
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidToken("The token is not a JWT.") from None
    if not isinstance(claims, dict):
        raise InvalidToken("The token is not a JWT.")
    return claims
