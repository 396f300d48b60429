"""The key set of an issuer (RFC 7517): fetched when a token needs it, kept from then on."""

import asyncio
import math
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

import fetching
from errors import AuthUnavailable, InvalidToken
from logs import logger

if TYPE_CHECKING:  # tokens.py says with what to import python-jose
    from jose.backends.base import Key

REFRESH_INTERVAL = 30.0  # seconds from one fetch to the next, at least
FIRST_INTERVAL = 5.0  # the same as long as there are no keys at all
# Seconds after which the next token has the keys fetched anew. Better Auth's may be kept for ever;
# but a key that leaked is taken out of the set, and that should be noticed.
MAX_AGE = 600.0
TIMEOUT = 5.0  # seconds for a fetch; less than from one to the next, so there is one at a time
MAX_SIZE = 512 * 1024  # bytes
MAX_KEYS = 1000


class UnknownKey(InvalidToken):
    """The token names a key that is not in the set as it was fetched last."""


class KeySet:
    """The keys that `issuer` publishes at `url`.

    `changed` is called when a fetch brought other keys than there were: what was verified with
    those before may not be good any more.
    """

    def __init__(self, url: str, issuer: str) -> None:
        from public_keys import verifiers  # takes 7 MB, which HS256 has no use for

        self.issuer = issuer
        self.changed: Callable[[], None] = lambda: None
        self._url = url
        self._tls = ssl.create_default_context() if url.startswith("https:") else None
        self._verifiers = verifiers
        self._jwks: list[Any] | None = None  # as they were published
        self._keys: dict[str, dict[str, Key]] = {}
        self._failure: str | None = None  # why the last fetch brought nothing
        self._fetch: asyncio.Task[None] | None = None
        self._next_fetch = -math.inf  # on the clock time.monotonic()
        self._stale_at = math.inf

    def key(self, kid: object, algorithm: str) -> "Key":
        """The key of a token. Raises UnknownKey, which `refresh` may help, or InvalidToken."""
        if not isinstance(kid, str):
            raise InvalidToken("kid is missing")
        if kid not in self._keys:
            raise UnknownKey("the issuer has no such key")
        if algorithm not in self._keys[kid]:
            raise InvalidToken("alg does not fit the key")
        return self._keys[kid][algorithm]

    async def refresh(self) -> None:
        """Asks the issuer for its keys, unless it did a moment ago; one for all who wait.

        Raises AuthUnavailable if there was no answer that is of use.
        """
        self._start_fetch()
        if self._fetch is not None:
            await asyncio.shield(self._fetch)
        if self._failure is not None:
            seconds = max(1, math.ceil(self._next_fetch - time.monotonic()))
            raise AuthUnavailable(f"no keys from the issuer: {self._failure}", seconds)

    def refresh_if_stale(self) -> None:
        """Asks the issuer in the background if its keys are old; they are good meanwhile."""
        if time.monotonic() > self._stale_at:
            self._start_fetch()

    def _start_fetch(self) -> None:
        if time.monotonic() >= self._next_fetch:  # the one before ended long ago: see TIMEOUT
            self._next_fetch = time.monotonic() + REFRESH_INTERVAL
            self._fetch = asyncio.create_task(self._fetch_keys())

    async def _fetch_keys(self) -> None:
        try:
            body = await fetching.get(self._url, self._tls, TIMEOUT, MAX_SIZE)
            self._replace(_parsed(body))
        except fetching.FetchError as error:
            self._failure = str(error)
            if not self._keys:
                self._next_fetch = time.monotonic() + FIRST_INTERVAL
            logger.warning("The issuer's keys can't be had: %s", error)
        finally:
            self._fetch = None

    def _replace(self, jwks: list[Any]) -> None:
        if jwks != self._jwks:
            keys = self._usable(jwks)
            if not keys:
                raise fetching.FetchError("none of the keys is of use")
            self._jwks, self._keys = jwks, keys
            self.changed()
            logger.info(
                "The issuer has other keys: %d, of which %d are of use", len(jwks), len(keys)
            )
        self._failure = None
        self._stale_at = time.monotonic() + MAX_AGE

    def _usable(self, jwks: list[Any]) -> dict[str, dict[str, "Key"]]:
        keys: dict[str, dict[str, Key]] = {}
        for jwk in jwks:
            try:
                kid, verifiers = jwk["kid"], self._verifiers(jwk)
            except Exception:  # noqa: S112  (no key at all, and cryptography has many words for it)
                continue
            if isinstance(kid, str) and verifiers:
                keys[kid] = verifiers
        return keys


def _parsed(body: bytes) -> list[Any]:
    try:
        jwks = from_json(body)["keys"]
    except (ValueError, TypeError, LookupError):
        raise fetching.FetchError("the answer is no key set") from None
    if not isinstance(jwks, list) or len(jwks) > MAX_KEYS:
        raise fetching.FetchError(f"the answer has no list of {MAX_KEYS} keys at most")
    return jwks
