"""Key sets from hostile or broken issuers are limited, understood or refused, and never a 500."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from errors import AuthUnavailable, InvalidToken
from tests.support.issuer import Issuer, Pair, ec_jwk, issuer, number, rsa_jwk
from tests.support.services import base64url
from tokens import jwks
from tokens.jwks import KeySet, UnknownKey
from tokens.verifier import ISSUER_ALGORITHMS, TokenVerifier

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
def test_a_response_without_usable_keys_is_a_failed_fetch(frontend: Issuer, body: bytes) -> None:
    frontend.body = body
    with pytest.raises(AuthUnavailable):
        fetched(frontend)


def without(name: str, pair: Pair = GOOD) -> dict[str, Any]:
    return {part: value for part, value in pair.jwk.items() if part != name}


ELLIPTIC, RSA = Pair("ES256", kid="bad"), Pair("RS256", kid="bad")


def changed(pair: Pair, **parts: list[Any]) -> list[object]:
    """Return copies of the pair's JWK with the kid "bad", each with one wrong part."""
    values = [(name, value) for name, values in parts.items() for value in values]
    return [{**pair.jwk, "kid": "bad", name: value} for name, value in values]


KIDS: list[object] = [None, 1, [], {}, True]
HOSTILE: list[object] = [
    without("kid"),
    *({**GOOD.jwk, "kid": kid} for kid in KIDS),
    *changed(GOOD, use=["enc", None, 1], alg=["RS256", None, ["EdDSA"], "HS256", "none"]),
    *changed(
        GOOD, key_ops=[[], ["sign"], ["encrypt", "wrapKey"], ["Verify"], ["VERIFY"], [["verify"]]]
    ),
    *changed(GOOD, key_ops=[None, "verify", "verify sign", 1, True, {"verify": 1}, ["verify", 1]]),
    *changed(GOOD, key_ops=[["verify", "verify"], ["verify", None], ["verify", ["sign"]]]),
    {**GOOD.jwk, "kid": "bad", "use": "enc", "key_ops": ["verify"]},
    *changed(GOOD, use=["SIG", "sign", "", ["sig"], True]),
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


@pytest.mark.parametrize("jwk", HOSTILE, ids=range(len(HOSTILE)))
def test_an_unusable_key_is_skipped_and_the_others_are_used(frontend: Issuer, jwk: object) -> None:
    frontend.body = json.dumps({"keys": [jwk, GOOD.jwk, jwk]}).encode()
    keys = fetched(frontend)
    assert keys.named("good", "EdDSA")
    with pytest.raises(UnknownKey):
        keys.named("bad", "EdDSA")


@pytest.mark.parametrize(
    ("algorithm", "good"),
    [
        ("EdDSA", {"EdDSA", "Ed25519"}),
        ("ES256", {"ES256"}),
        ("ES512", {"ES512"}),
        ("RS256", {"RS256", "PS256"}),
    ],
)
def test_a_key_without_alg_is_used_for_all_algorithms_of_its_type(
    frontend: Issuer, algorithm: str, good: set[str]
) -> None:
    """Older releases of Better Auth publish keys without `alg`."""
    pair = Pair(algorithm, kid="plain")
    frontend.body = json.dumps({"keys": [without("alg", pair)]}).encode()
    keys = fetched(frontend)
    for each in (*ISSUER_ALGORITHMS, "HS256", "none"):
        if each in good:
            assert keys.named("plain", each)
        else:
            with pytest.raises(InvalidToken):
                keys.named("plain", each)


@pytest.mark.parametrize(
    "parts",
    [
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"key_ops": ["verify", "something of our own"]},
        {"use": "sig", "key_ops": ["verify"]},
        {"use": "sig"},
        {},
    ],
)
def test_a_key_that_may_verify_is_used(frontend: Issuer, parts: dict[str, Any]) -> None:
    frontend.body = json.dumps({"keys": [{**GOOD.jwk, **parts}]}).encode()
    assert fetched(frontend).named("good", "EdDSA")


def user_of(frontend: Issuer, keys: KeySet, pair: Pair, **header: Any) -> str:
    return TokenVerifier(None, keys=keys).user_id(pair.token(frontend.claims(), **header))


@pytest.mark.parametrize("published", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("written", ["EdDSA", "Ed25519"])
def test_ed25519_is_another_name_for_eddsa(
    frontend: Issuer, published: str | None, written: str
) -> None:
    """RFC 9864, section 2.2."""
    jwk = {**without("alg"), **({"alg": published} if published else {})}
    frontend.body = json.dumps({"keys": [jwk]}).encode()
    keys = fetched(frontend)
    assert user_of(frontend, keys, GOOD, alg=written) == "alice"
    with pytest.raises(InvalidToken):
        user_of(frontend, keys, Pair("EdDSA", kid="good"), alg=written)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "ES512"])
@pytest.mark.parametrize("reverse", [False, True])
def test_two_keys_with_the_same_kid_are_distinguished_by_algorithm(
    frontend: Issuer, algorithm: str, reverse: bool
) -> None:
    other = Pair(algorithm, kid="good")
    pairs = [GOOD, other]
    frontend.publish(*(reversed(pairs) if reverse else pairs))
    keys = fetched(frontend)
    assert [user_of(frontend, keys, pair) for pair in pairs] == ["alice", "alice"]
    with pytest.raises(InvalidToken):
        user_of(frontend, keys, GOOD, alg=algorithm)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "PS256"])
def test_several_keys_with_the_same_kid_and_algorithm_are_all_tried(
    frontend: Issuer, algorithm: str
) -> None:
    """A kid is a hint (RFC 7515, section 4.1.4) and should be unique (RFC 7517, section 4.5)."""
    pairs = [Pair(algorithm, kid="one") for _ in range(jwks.MAX_KEYS_OF_ONE_NAME + 1)]
    frontend.publish(*pairs)
    keys = fetched(frontend)
    assert [user_of(frontend, keys, pair) for pair in pairs[:-1]] == ["alice"] * (len(pairs) - 1)
    for stranger in (pairs[-1], Pair(algorithm, kid="one")):  # the cost of a token is limited
        with pytest.raises(InvalidToken):
            user_of(frontend, keys, stranger)


def test_rsa_keys_with_and_without_alg_may_share_a_kid(frontend: Issuer) -> None:
    plain, named = Pair("RS256", kid="one"), Pair("PS256", kid="one")
    frontend.body = json.dumps({"keys": [without("alg", plain), named.jwk]}).encode()
    keys = fetched(frontend)
    assert user_of(frontend, keys, plain) == user_of(frontend, keys, named) == "alice"


def test_a_key_set_may_have_a_thousand_keys(frontend: Issuer) -> None:
    frontend.publish(*(Pair("EdDSA") for _ in range(jwks.MAX_KEYS)))
    assert fetched(frontend).named(frontend.pairs[-1].kid, "EdDSA")
