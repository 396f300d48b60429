"""What an issuer may publish: whatever it is, it is bounded, understood or refused, never a 500."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import jwks
from errors import AuthUnavailable, InvalidToken
from jwks import KeySet, UnknownKey
from tests.issuer import Issuer, Pair, ec_jwk, issuer, number, rsa_jwk
from tests.support import base64url

GOOD = Pair("EdDSA", kid="good")


@pytest.fixture
def frontend() -> Iterator[Issuer]:
    with issuer() as frontend:
        frontend.publish(GOOD)
        yield frontend


def fetched(frontend: Issuer) -> KeySet:
    keys = KeySet(f"{frontend.url}/api/auth/jwks", frontend.url)
    asyncio.run(keys.refresh())
    return keys


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"null",
            b"[]",
            b"1",
            b'"keys"',
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"keys": NaN}',
        ),
        *(b"{}", b'{"keys": {}}', b'{"keys": "x"}', b'{"keys": 1}', b'{"keys": null}'),
        *(b'{"keys": []}', b'{"keys": [{}]}', b'{"keys": [null, 1, "x", []]}'),
        b'{"keys": [' + b"{}," * 1000 + json.dumps(GOOD.jwk).encode() + b"]}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_an_answer_without_keys_is_no_answer(frontend: Issuer, body: bytes) -> None:
    frontend.body = body
    with pytest.raises(AuthUnavailable):
        fetched(frontend)


def without(name: str, pair: Pair = GOOD) -> dict[str, Any]:
    return {part: value for part, value in pair.jwk.items() if part != name}


ELLIPTIC, RSA = Pair("ES256", kid="bad"), Pair("RS256", kid="bad")


def changed(pair: Pair, **parts: list[Any]) -> list[object]:
    """The pair's JWK under the name "bad", with one part or another wrong."""
    values = [(name, value) for name, values in parts.items() for value in values]
    return [{**pair.jwk, "kid": "bad", name: value} for name, value in values]


KIDS: list[object] = [None, 1, [], {}, True]
HOSTILE: list[object] = [
    without("kid"),
    *({**GOOD.jwk, "kid": kid} for kid in KIDS),
    *changed(GOOD, use=["enc", None, 1], alg=["RS256", None, ["EdDSA"], "HS256", "none"]),
    *changed(GOOD, kty=[None, 1, [], {}, "EC", "RSA", "oct"]),
    *changed(GOOD, crv=[None, [], "Ed448", "P-256", "X25519"]),
    *changed(GOOD, x=["", "A", "\xe9", None, 1, [], "AAAA", "A" * 200_000]),
    *changed(ELLIPTIC, x=[number(1, 32), "", None], crv=["P-521", "P-384", "Ed25519"]),
    *changed(RSA, e=[number(e) for e in (1, 2, 0, 2**40 + 1)], alg=["RSA-OAEP", ["RS256"]]),
    *changed(RSA, n=[number(0, 1), number(2**8192 + 1), "", None, "_" * 200_000]),
    {"kty": "oct", "k": base64url(b"x" * 32), "alg": "HS256", "kid": "bad"},
    {"kty": "oct", "k": base64url(b"x" * 32), "kid": "bad"},
    {**ec_jwk(ec.generate_private_key(ec.SECP384R1()), "P-384"), "alg": "ES384", "kid": "bad"},
    {**ec_jwk(ec.generate_private_key(ec.SECP256K1()), "secp256k1"), "kid": "bad"},
    {**ec_jwk(ec.generate_private_key(ec.SECP384R1()), "P-256"), "kid": "bad"},
    {**rsa_jwk(rsa.generate_private_key(65537, 1024)), "alg": "RS256", "kid": "bad"},
    *(None, 1, "key", [], {}, [GOOD.jwk], {"keys": [GOOD.jwk]}),
]


@pytest.mark.parametrize("jwk", HOSTILE, ids=lambda jwk: str(jwk)[:60])
def test_a_key_that_is_of_no_use_is_left_out_and_the_others_are_good(
    frontend: Issuer, jwk: object
) -> None:
    frontend.body = json.dumps({"keys": [jwk, GOOD.jwk, jwk]}).encode()
    keys = fetched(frontend)
    assert keys.key("good", "EdDSA")
    with pytest.raises(UnknownKey):
        keys.key("bad", "EdDSA")


@pytest.mark.parametrize(
    ("algorithm", "good"),
    [
        ("EdDSA", {"EdDSA"}),
        ("ES256", {"ES256"}),
        ("ES512", {"ES512"}),
        ("RS256", {"RS256", "PS256"}),
    ],
)
def test_a_key_without_alg_is_good_for_those_that_fit_it(
    frontend: Issuer, algorithm: str, good: set[str]
) -> None:
    """Older releases of Better Auth name no `alg`."""
    pair = Pair(algorithm, kid="plain")
    frontend.body = json.dumps({"keys": [without("alg", pair)]}).encode()
    keys = fetched(frontend)
    for each in ("EdDSA", "ES256", "ES512", "RS256", "PS256", "HS256", "none"):
        if each in good:
            assert keys.key("plain", each)
        else:
            with pytest.raises(InvalidToken):
                keys.key("plain", each)


def test_a_key_set_may_have_a_thousand_keys(frontend: Issuer) -> None:
    frontend.publish(*(Pair("EdDSA") for _ in range(jwks.MAX_KEYS)))
    assert fetched(frontend).key(frontend.pairs[-1].kid, "EdDSA")
