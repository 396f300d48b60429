"""Tokens: what makes a JWT good, and who its user is; in development also how one is made."""

import math
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json

from errors import InvalidToken, TokenExpired
from memory import block_imports
from models import USER_ID_LENGTH
from tokens.jwks import KeySet

# HS256 needs no more than the standard library's hmac; the others cost 8 MB.
with block_imports("cryptography", "rsa"):
    from jose import jwk, jws, jwt
    from jose.backends.base import Key

ALGORITHM = "HS256"
ISSUER_ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "ES512", "RS256", "PS256")
LEEWAY = 10  # seconds by which clocks may differ
MAX_TOKEN_LENGTH = 16 * 1024  # characters
CACHED_TOKENS = 2048
# Characters. Better Auth puts the whole user into a token: with RS256 it has some 1000. Longer ones
# are rare, and would make the cache large.
CACHED_TOKEN_LENGTH = 2048

# RFC 7515, section 7.1: three parts of base64url without padding. python-jose skips characters that
# are none. A header is small, and so is a signature: 1024 bytes are one of RSA with 8192 bits.
COMPACT_FORM = re.compile(
    r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]{1,1366})", re.ASCII
)
# RFC 8725, section 3.11: a token of another kind, such as Better Auth's session cookie, says so.
TYPES = ("jwt", "at+jwt")


class Claims(NamedTuple):
    """What the service reads of a token: the user, and from when to when it holds (Unix time)."""

    user_id: str
    expires: float
    not_before: float


class TokenVerifier:
    """Verifies tokens: HS256 under `secret`, its raw UTF-8 bytes, and others by an issuer's `keys`.

    `issuer` and `audience` are what `iss` and `aud` must be. Without them HS256 tokens may have
    any, and the issuer's must have what Better Auth gives them.
    """

    def __init__(
        self,
        secret: str | None,
        issuer: str | None = None,
        audience: str | None = None,
        keys: KeySet | None = None,
    ) -> None:
        self.keys = keys
        self._key = None if secret is None else hmac_key(secret)
        self._issuer = issuer
        self._audience = audience
        # A caller sends the same token again and again: its signature is checked once, the time
        # on every call. Tokens that fail are not kept.
        self._cached_claims = lru_cache(CACHED_TOKENS)(self._claims)
        if keys is not None:
            keys.changed = self._cached_claims.cache_clear

    def user_id(self, token: str) -> str:
        """The user of `token`. Raises InvalidToken, of which UnknownKey is one, or TokenExpired."""
        short = len(token) <= CACHED_TOKEN_LENGTH
        claims = self._cached_claims(token) if short else self._claims(token)
        now = time.time()
        if now > claims.expires + LEEWAY:
            raise TokenExpired("exp has passed")
        if now < claims.not_before - LEEWAY:
            raise InvalidToken("nbf is in the future")
        return claims.user_id

    def _claims(self, token: str) -> Claims:
        header = _header(token)
        keys, issuer, audience = self._trusted(header)
        claims = _payload(token, keys, header["alg"])
        _check_recipient(claims, issuer, audience)
        return Claims(_subject(claims), _time(claims, "exp"), _time(claims, "nbf", default=0.0))

    def _trusted(self, header: dict[str, Any]) -> tuple[Sequence[Key], str | None, str | None]:
        """The keys, one of which the token must be signed with, and its `iss` and `aud`.

        The algorithm says which of the two ways it is, and a key is good for its own alone: the
        public keys, which everybody has, are not secrets of HS256.
        """
        algorithm = header.get("alg")
        if algorithm == ALGORITHM and self._key is not None:
            return [self._key], self._issuer, self._audience
        if self.keys is None or algorithm not in ISSUER_ALGORITHMS:
            raise InvalidToken("alg is none of ours")
        keys = self.keys.named(header.get("kid"), algorithm)
        return keys, self._issuer or self.keys.issuer, self._audience or self.keys.issuer


def hmac_key(secret: str) -> Key:
    """The key of `secret`. As text, one that looks like JSON or PEM would be read as such."""
    encoded = urlsafe_b64encode(secret.encode()).decode()
    return jwk.construct({"kty": "oct", "k": encoded}, ALGORITHM)


def _header(token: str) -> dict[str, Any]:
    """The header of `token`, not verified yet. Raises InvalidToken if no token has such a one."""
    form = COMPACT_FORM.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
    if form is None or not _is_canonical(form[1]):
        raise InvalidToken("not in the form of a JWT of 16 KiB at most")
    try:
        header: dict[str, Any] = jws.get_unverified_header(token)
    except Exception as error:  # as in _payload
        raise InvalidToken(f"refused by python-jose: {type(error).__name__}") from None
    if "crit" in header:  # RFC 7515, section 4.1.11: extensions that we do not understand
        raise InvalidToken("crit is not supported")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
        raise InvalidToken("typ is another kind of token")
    return header


def _is_canonical(part: str) -> bool:
    """Whether the last character has no bits to spare: it could be written in several ways then."""
    padded = part + "=" * (-len(part) % 4)
    try:
        return urlsafe_b64encode(urlsafe_b64decode(padded)) == padded.encode()
    except ValueError:
        return False


def _payload(token: str, keys: Sequence[Key], algorithm: str) -> dict[str, Any]:
    """The claims of `token`, which is signed with one of `keys`."""
    try:
        claims = from_json(jws.verify(token, {"keys": keys}, [algorithm]))
    # python-jose raises much besides its own errors on hostile tokens (RecursionError,
    # TypeError, AttributeError ...), and whatever it raises, the token is not good.
    except Exception as error:
        raise InvalidToken(f"refused by python-jose: {type(error).__name__}") from None
    if not isinstance(claims, dict):
        raise InvalidToken("the payload is not an object")
    return claims


def _check_recipient(claims: dict[str, Any], issuer: str | None, audience: str | None) -> None:
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidToken("another iss")
    if audience is not None:
        given = claims.get("aud")
        if audience not in (given if isinstance(given, list) else [given]):
            raise InvalidToken("another aud")


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


def make_token(user_id: str, secret: str, **others: Any) -> str:
    """A token for `user_id` that holds for a day; `others` are claims besides."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + 24 * 3600, **others}
    return jwt.encode(claims, hmac_key(secret), ALGORITHM)
