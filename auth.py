"""Who is calling: the bearer token, and the dependency that every task route has.

`uv run auth.py USER_ID` prints a token to try the service with, in development only.
"""

import math
import re
import sys
import time
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic_core import from_json

from config import Settings, get_settings
from errors import Forbidden, InvalidToken, NotAuthenticated, TokenExpired
from lean import without
from models import USER_ID_LENGTH
from schemas import UserId

# HS256 needs no more than the standard library's hmac; the others cost 8 MB.
with without("cryptography", "rsa"):
    from jose import jwk, jws, jwt
    from jose.backends.base import Key

ALGORITHM = "HS256"
LEEWAY = 10  # seconds by which clocks may differ
MAX_TOKEN_LENGTH = 16 * 1024  # characters
CACHED_TOKENS = 2048
CACHED_TOKEN_LENGTH = 1024  # characters; longer tokens are rare, and would make the cache large

# RFC 7515, section 7.1: three parts of base64url without padding. python-jose skips characters that
# are none. A header is small, and HS256's signature 43 characters, of which the last has 4 bits: it
# could otherwise be written in four ways.
COMPACT_FORM = re.compile(
    r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII
)


class Claims(NamedTuple):
    """What the service reads of a token: the user, and from when to when it holds (Unix time)."""

    user_id: str
    expires: float
    not_before: float


class TokenVerifier:
    """Verifies HS256 tokens under one secret, the raw UTF-8 bytes of which are the key."""

    def __init__(self, secret: str, issuer: str | None = None, audience: str | None = None) -> None:
        self._key = hmac_key(secret)
        self._issuer = issuer
        self._audience = audience
        # A caller sends the same token again and again: its signature is checked once, the time
        # on every call. Tokens that fail are not kept.
        self._cached_claims = lru_cache(CACHED_TOKENS)(self._claims)

    def user_id(self, token: str) -> str:
        """The user of `token`. Raises InvalidToken or TokenExpired."""
        short = len(token) <= CACHED_TOKEN_LENGTH
        claims = self._cached_claims(token) if short else self._claims(token)
        now = time.time()
        if now > claims.expires + LEEWAY:
            raise TokenExpired("exp has passed")
        if now < claims.not_before - LEEWAY:
            raise InvalidToken("nbf is in the future")
        return claims.user_id

    def _claims(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_LENGTH or not COMPACT_FORM.fullmatch(token):
            raise InvalidToken("not in the form of a JWT of 16 KiB at most")
        try:
            header = jws.get_unverified_header(token)
            payload = jws.verify(token, self._key, [ALGORITHM])
            claims = from_json(payload)
        # python-jose raises much besides its own errors on hostile tokens (RecursionError,
        # TypeError, AttributeError ...), and whatever it raises, the token is not good.
        except Exception as error:
            raise InvalidToken(f"refused by python-jose: {type(error).__name__}") from None
        if "crit" in header:  # RFC 7515, section 4.1.11: extensions that we do not understand
            raise InvalidToken("crit is not supported")
        if not isinstance(claims, dict):
            raise InvalidToken("the payload is not an object")
        self._check_recipient(claims)
        return Claims(_subject(claims), _time(claims, "exp"), _time(claims, "nbf", default=0.0))

    def _check_recipient(self, claims: dict[str, Any]) -> None:
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise InvalidToken("another iss")
        if self._audience is not None:
            audience = claims.get("aud")
            if self._audience not in (audience if isinstance(audience, list) else [audience]):
                raise InvalidToken("another aud")


def hmac_key(secret: str) -> Key:
    """The key of `secret`. As text, one that looks like JSON or PEM would be read as such."""
    encoded = urlsafe_b64encode(secret.encode()).decode()
    return jwk.construct({"kty": "oct", "k": encoded}, ALGORITHM)


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or "\0" in subject:
        raise InvalidToken("sub is missing or no user id")
    if len(subject) > USER_ID_LENGTH:
        raise InvalidToken("sub is too long")
    return subject


def _time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is missing or no number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise InvalidToken(f"{name} is not finite")
    return seconds


class BearerAuthentication(SecurityBase):
    """The dependency `get_current_user`: the user of the token, whose path it is too."""

    scheme_name = "bearerToken"
    model = HTTPBearer(bearerFormat="JWT", description="The JWT of Better Auth.")

    async def __call__(self, request: Request, user_id: UserId) -> str:
        """The user. Raises NotAuthenticated, InvalidToken, TokenExpired, or Forbidden."""
        caller = request.scope["user_id"] = self._caller(request)
        if caller != user_id:
            raise Forbidden("the path is another user's")
        return caller

    def _caller(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("no bearer token")
        verifier: TokenVerifier = request.app.state.verifier
        return verifier.user_id(token)


# An object and not a function, for from a SecurityBase FastAPI documents the bearer scheme.
get_current_user = BearerAuthentication()
CurrentUser = Annotated[str, Depends(get_current_user)]


def make_token(user_id: str, secret: str, lifetime: float = 24 * 3600) -> str:
    """A token for `user_id` that holds for `lifetime` seconds."""
    claims = {"sub": user_id, "iat": int(time.time()), "exp": int(time.time() + lifetime)}
    return jwt.encode(claims, hmac_key(secret), ALGORITHM)


def main(arguments: list[str], settings: Settings) -> None:
    """Prints a token for the user that `arguments` name."""
    if settings.environment != "development":
        sys.exit("Tokens are made here in development only; in production Better Auth makes them.")
    if len(arguments) != 1 or not arguments[0].strip() or len(arguments[0]) > USER_ID_LENGTH:
        sys.exit("Usage: uv run auth.py USER_ID")
    print(make_token(arguments[0], settings.secret))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:], get_settings())
