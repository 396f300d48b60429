"""Verify a JWT and return its user. In development, also make one."""

import math
import re
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from pydantic_core import from_json

from errors import InvalidToken, TokenExpired
from memory import block_imports
from models import USER_ID_LENGTH
from observability.redaction import excerpt
from tokens.jwks import KeySet

# HS256 needs only the standard library's hmac. python-jose's other backends take 8 MB, so they are
# not imported. For EC keys, python-jose would then fall back to ecdsa, which is open to a timing
# attack (CVE-2024-23342). public_keys.py has a class for EC keys that uses cryptography.
_no_ecdsa = ModuleType("jose.backends.ecdsa_backend")
_no_ecdsa.ECDSAECKey = None  # type: ignore[attr-defined]
sys.modules[_no_ecdsa.__name__] = _no_ecdsa
with block_imports("cryptography.hazmat", "rsa"):
    from jose import jwk, jws, jwt
    from jose.backends.base import Key

ALGORITHM = "HS256"
ISSUER_ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "ES512", "RS256", "PS256")
LEEWAY = 10  # seconds by which clocks may differ
MAX_TOKEN_LENGTH = 16 * 1024  # characters
CACHED_TOKENS = 2048
# Characters. Better Auth puts the whole user into a token, which then has about 1000 characters
# with RS256. Longer tokens are rare, and would make the cache large.
CACHED_TOKEN_LENGTH = 2048

# RFC 7515, section 7.1: three parts of base64url without padding. python-jose ignores characters
# that are not base64url. The header and the signature have a maximum length, because both are
# small: a signature with an RSA key of 8192 bits has 1024 bytes.
COMPACT_FORM = re.compile(
    r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]{1,1366})", re.ASCII
)
# RFC 8725, section 3.11: `typ` distinguishes other kinds of token, such as Better Auth's session
# cookie.
TYPES = ("jwt", "at+jwt")


class Claims(NamedTuple):
    """The claims that the service reads: the user, and when the token is valid (Unix time)."""

    user_id: str
    expires: float
    not_before: float


class TokenVerifier:
    """A verifier of tokens: HS256 with the UTF-8 bytes of `secret`, others with an issuer's `keys`.

    A token must have one of `issuers` as its `iss`, and one of `audiences` in its `aud`. If either
    is empty, HS256 tokens may have any value there, and the issuer's tokens must have the value
    that Better Auth sets.
    """

    def __init__(
        self,
        secret: str | None,
        issuers: tuple[str, ...] = (),
        audiences: tuple[str, ...] = (),
        keys: KeySet | None = None,
    ) -> None:
        self.keys = keys
        self._key = None if secret is None else hmac_key(secret)
        self._issuers = issuers
        self._audiences = audiences
        # Clients send the same token many times, so its signature is verified once. Its times are
        # checked on every call. Invalid tokens are not cached.
        self._cached_claims = lru_cache(CACHED_TOKENS)(self._claims)
        if keys is not None:
            keys.changed = self._cached_claims.cache_clear

    def user_id(self, token: str) -> str:
        """Return the user of `token`. Raises InvalidToken or TokenExpired.

        Raises UnknownKey, which is an InvalidToken, if a fetch of the keys may help.
        """
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
        keys, issuers, audiences = self._trusted(header)
        claims = _payload(token, keys, header["alg"])
        _check_recipient(claims, issuers, audiences)
        return Claims(_subject(claims), _time(claims, "exp"), _time(claims, "nbf", default=0.0))

    def _trusted(
        self, header: dict[str, Any]
    ) -> tuple[Sequence[Key], tuple[str, ...], tuple[str, ...]]:
        """Return the keys, one of which must have signed the token, and the valid `iss` and `aud`.

        The algorithm selects the secret or the issuer's keys. A key is valid only for its own
        algorithm. Otherwise anybody could sign an HS256 token with a public key as its secret.
        """
        algorithm = header.get("alg")
        if algorithm == ALGORITHM and self._key is not None:
            return [self._key], self._issuers, self._audiences
        if self.keys is None or algorithm not in ISSUER_ALGORITHMS:
            raise InvalidToken("alg is not supported")
        keys = self.keys.named(header.get("kid"), algorithm)
        of_better_auth = (self.keys.issuer,)
        return keys, self._issuers or of_better_auth, self._audiences or of_better_auth


def hmac_key(secret: str) -> Key:
    """Return the key for `secret`.

    It is made from a JWK, because python-jose takes plain text that looks like JSON or PEM for
    another kind of key.
    """
    encoded = urlsafe_b64encode(secret.encode()).decode()
    return jwk.construct({"kty": "oct", "k": encoded}, ALGORITHM)


def _header(token: str) -> dict[str, Any]:
    """Return the unverified header of `token`. Raises InvalidToken if it can't be a valid one."""
    form = COMPACT_FORM.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
    if form is None or not _is_canonical(form[1]):
        raise InvalidToken("not a JWT of 16 KiB at most")
    try:
        header: dict[str, Any] = jws.get_unverified_header(token)
    except Exception as error:  # as in _payload
        raise InvalidToken(f"refused by python-jose: {type(error).__name__}") from None
    if "crit" in header:  # RFC 7515, section 4.1.11: extensions, none of which we support
        raise InvalidToken("crit is not supported")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
        raise InvalidToken("typ is another kind of token")
    return header


def _is_canonical(part: str) -> bool:
    """Return whether `part` is the only way to write its bytes: no unused bit is set."""
    padded = part + "=" * (-len(part) % 4)
    try:
        return urlsafe_b64encode(urlsafe_b64decode(padded)) == padded.encode()
    except ValueError:
        return False


def _payload(token: str, keys: Sequence[Key], algorithm: str) -> dict[str, Any]:
    """Return the claims of `token`, which must be signed with one of `keys`."""
    try:
        claims = from_json(jws.verify(token, {"keys": keys}, [algorithm]))
    # On hostile tokens python-jose raises more than its own errors (RecursionError, TypeError,
    # AttributeError ...). Whatever it raises, the token is not valid.
    except Exception as error:
        raise InvalidToken(f"refused by python-jose: {type(error).__name__}") from None
    if not isinstance(claims, dict):
        raise InvalidToken("the payload is not an object")
    return claims


def _check_recipient(
    claims: dict[str, Any], issuers: tuple[str, ...], audiences: tuple[str, ...]
) -> None:
    """Raise InvalidToken unless the claims name one of `issuers` and one of `audiences`.

    If either is empty, any value is accepted.
    """
    if issuers and claims.get("iss") not in issuers:
        raise InvalidToken(f"another iss: {excerpt(str(claims.get('iss')))}")
    given = claims.get("aud")
    named = given if isinstance(given, list) else [given]
    if audiences and not any(audience in named for audience in audiences):
        raise InvalidToken(f"another aud: {excerpt(str(given))}")


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or "\0" in subject:
        raise InvalidToken("sub is missing, or is not a user id")
    if len(subject) > USER_ID_LENGTH:
        raise InvalidToken("sub is too long")
    return subject


def _time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is missing, or is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise InvalidToken(f"{name} is not finite")
    return seconds


def make_token(user_id: str, secret: str, **others: Any) -> str:
    """Return a token for `user_id` that is valid for a day. `others` are additional claims."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + 24 * 3600, **others}
    return jwt.encode(claims, hmac_key(secret), ALGORITHM)
