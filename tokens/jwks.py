"""The key set of an issuer (RFC 7517), which is fetched when a token needs it, and then kept."""

import asyncio
import math
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from errors import AuthUnavailable, InvalidToken
from observability.logs import logger
from tokens import http_get

if TYPE_CHECKING:  # tokens/verifier.py shows how to import python-jose
    from jose.backends.base import Key

    Keys = dict[str, dict[str, list[Key]]]  # by name and algorithm

REFRESH_INTERVAL = 30.0  # seconds from one fetch to the next, at least
FIRST_INTERVAL = 5.0  # the same while there are no keys at all
# Seconds after which the next token causes the keys to be fetched again. Better Auth's keys may be
# cached indefinitely, but the service must notice when a leaked key is removed from the set.
MAX_AGE = 600.0
TIMEOUT = 5.0  # seconds for a fetch, so that it ends before the next one begins
MAX_SIZE = 512 * 1024  # bytes
MAX_KEYS = 1000
# How many keys are tried for one token, if several have the same name and algorithm.
MAX_KEYS_OF_ONE_NAME = 4
MAX_UNKNOWN = 1024  # how many names of unknown keys are remembered


class UnknownKey(InvalidToken):
    """The token names a key that is not in the set that was fetched last."""

    def __init__(self, kid: str) -> None:
        super().__init__("the issuer has no such key")
        self.kid = kid


class KeySet:
    """The keys that `issuer` publishes at `url`.

    `changed` is called when a fetch returned different keys, because tokens that were verified with
    the earlier keys may no longer be valid.
    """

    def __init__(self, url: str, issuer: str) -> None:
        from tokens.public_keys import verifiers  # takes 7 MB, and HS256 does not need it

        self.issuer = issuer
        self.changed: Callable[[], None] = lambda: None
        self._url = url
        self._tls = ssl.create_default_context() if url.startswith("https:") else None
        self._verifiers = verifiers
        self._jwks: list[Any] | None = None  # as they were published
        self._keys: Keys = {}
        # The time when each key that is not in the set was first requested, by the hash of its
        # name: names may be long, and clients that invent them could fill the memory.
        self.unknown: dict[int, float] = {}
        self._failure: str | None = None  # why the last fetch failed
        self._fetch: asyncio.Task[None] | None = None
        self._fetched_at = -math.inf  # when the last fetch that succeeded began
        self._next_fetch = -math.inf  # on the clock time.monotonic()
        self._stale_at = math.inf

    def named(self, kid: object, algorithm: str) -> "Sequence[Key]":
        """Return the keys that may have signed a token: one, unless several have the same name.

        A `kid` is only a hint (RFC 7515, section 4.1.4), and the keys of a set should have distinct
        ones (RFC 7517, section 4.5). Raises InvalidToken, or UnknownKey, which `look_up` can
        resolve.
        """
        if not isinstance(kid, str):
            raise InvalidToken("kid is missing")
        if kid not in self._keys:
            raise UnknownKey(kid)
        if algorithm not in self._keys[kid]:
            raise InvalidToken("alg does not match the key")
        return self._keys[kid][algorithm]

    async def look_up(self, kid: str) -> None:
        """Fetch the set for a token with an unknown key, unless that was done a moment ago.

        Raises AuthUnavailable if the fetch failed, or if no fetch began after the key was first
        requested, because the key may be newer than the set.
        """
        first_asked = self._first_asked(kid)
        await self.refresh()
        if kid not in self._keys and self._fetched_at < first_asked:
            raise self._unavailable("the key is unknown, and has not been looked up yet")

    async def refresh(self) -> None:
        """Fetch the set, unless that was done a moment ago. Concurrent calls share one fetch.

        Raises AuthUnavailable if the last fetch failed.
        """
        self._start_fetch()
        if self._fetch is not None:
            await asyncio.shield(self._fetch)
        if self._failure is not None:
            raise self._unavailable(f"no keys from the issuer: {self._failure}")

    def _unavailable(self, reason: str) -> AuthUnavailable:
        """Return the error that tells the client when the next fetch may begin."""
        return AuthUnavailable(reason, max(1, math.ceil(self._next_fetch - time.monotonic())))

    def _first_asked(self, kid: str) -> float:
        """Return when `kid` was first requested, or the current time if that is not known."""
        moment = self.unknown.pop(hash(kid), time.monotonic())
        self._remember(kid, moment)
        return moment

    def _remember(self, kid: str, moment: float) -> None:
        """Put `kid` last in `unknown`, and remove the first one if there are too many."""
        self.unknown[hash(kid)] = moment
        if len(self.unknown) > MAX_UNKNOWN:
            del self.unknown[next(iter(self.unknown))]

    def refresh_if_stale(self) -> None:
        """Fetch the keys in the background if they are old. They stay valid meanwhile."""
        if time.monotonic() > self._stale_at:
            self._start_fetch()

    def _start_fetch(self) -> None:
        if time.monotonic() >= self._next_fetch:  # the last fetch has ended: see TIMEOUT
            self._next_fetch = time.monotonic() + REFRESH_INTERVAL
            self._fetch = asyncio.create_task(self._fetch_keys(time.monotonic()))

    async def _fetch_keys(self, now: float) -> None:
        try:
            body = await http_get.get(self._url, self._tls, TIMEOUT, MAX_SIZE)
            self._replace(_parsed(body))
            self._fetched_at = now
        except http_get.FetchError as error:
            self._failure = str(error)
            if not self._keys:
                self._next_fetch = time.monotonic() + FIRST_INTERVAL
            logger.warning("The issuer's keys are not available: %s", error)
        finally:
            self._fetch = None

    def _replace(self, jwks: list[Any]) -> None:
        if jwks != self._jwks:
            keys = self._usable(jwks)
            if not keys:
                raise http_get.FetchError("none of the keys is usable")
            for kid in self._keys.keys() - keys.keys():  # it was withdrawn, so don't look it up
                self._remember(kid, -math.inf)
            self._jwks, self._keys = jwks, keys
            self.changed()
            logger.info("The issuer's keys have changed: %d keys, %d usable", len(jwks), len(keys))
        self._failure = None
        self._stale_at = time.monotonic() + MAX_AGE

    def _usable(self, jwks: list[Any]) -> "Keys":
        keys: Keys = {}
        for jwk in jwks:
            try:
                kid, verifiers = jwk["kid"], self._verifiers(jwk)
            except Exception:  # noqa: S112  (not a key; cryptography raises many exceptions for that)
                continue
            if isinstance(kid, str) and verifiers:
                _add(keys.setdefault(kid, {}), verifiers)
        return keys


def _add(keys: dict[str, list["Key"]], verifiers: dict[str, "Key"]) -> None:
    """Add the verifiers of one JWK to those of other JWKs with the same name."""
    for algorithm, key in verifiers.items():
        if len(keys.setdefault(algorithm, [])) < MAX_KEYS_OF_ONE_NAME:
            keys[algorithm].append(key)


def _parsed(body: bytes) -> list[Any]:
    try:
        jwks = from_json(body)["keys"]
    except (ValueError, TypeError, LookupError):
        raise http_get.FetchError("the response is not a key set") from None
    if not isinstance(jwks, list) or len(jwks) > MAX_KEYS:
        raise http_get.FetchError(f"the response has no list of {MAX_KEYS} keys at most")
    return jwks
