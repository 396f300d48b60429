"""Tokens that are verified with an issuer's public keys: which are valid, and which get a 401."""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.engine import URL

from tests.support.issuer import MAKERS, Issuer, Pair, issuer
from tests.support.responses import INVALID_TOKEN, TOKEN_EXPIRED
from tests.support.services import (
    base64url,
    database_of_its_own,
    eventually,
    forge,
    nested,
    raw,
    recorded_log,
    service,
)
from tests.support.serving import SECRET, bearer

EMPTY = {"tasks": [], "count": 0, "next_cursor": None}
ALGORITHMS = list(MAKERS)
Ask = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def tables(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def pairs() -> dict[str, Pair]:
    return {algorithm: Pair(algorithm) for algorithm in ALGORITHMS}


@pytest.fixture(scope="module")
def frontend(pairs: dict[str, Pair]) -> Iterator[Issuer]:
    with issuer() as frontend:
        frontend.publish(*pairs.values())
        yield frontend


@pytest.fixture(scope="module", params=["no secret", "a secret too"])
def client(tables: URL, frontend: Issuer, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A service that verifies with the frontend's keys, with and without a secret as well."""
    secret = SECRET if request.param == "a secret too" else None
    with service(tables, better_auth_url=frontend.url, better_auth_secret=secret) as client:
        yield client


@pytest.fixture
def ask(client: httpx.Client) -> Ask:
    """A function that requests alice's tasks with a token."""
    return lambda token: client.get(
        "/api/alice/tasks", headers={"Authorization": f"Bearer {token}"}
    )


def assert_good(response: httpx.Response) -> None:
    assert (response.status_code, response.json()) == (200, EMPTY)


def assert_invalid(response: httpx.Response) -> None:
    assert (response.status_code, response.json()) == (401, INVALID_TOKEN)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_the_issuer_is_valid_only_for_its_user(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], algorithm: str
) -> None:
    assert_good(ask(pairs[algorithm].token(frontend.claims())))
    assert ask(pairs[algorithm].token(frontend.claims("bob"))).status_code == 403


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_signed_with_another_key_is_refused(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], algorithm: str
) -> None:
    assert_invalid(ask(Pair(algorithm, kid=pairs[algorithm].kid).token(frontend.claims())))


def test_with_a_secret_and_an_issuer_tokens_of_both_are_accepted(
    tables: URL, frontend: Issuer
) -> None:
    """HS256 tokens still need no `iss` and `aud`."""
    with service(tables, better_auth_url=frontend.url) as client:
        assert_good(client.get("/api/alice/tasks", headers=bearer("alice")))
        token = frontend.pairs[0].token(frontend.claims())
        headers = {"Authorization": f"Bearer {token}"}
        assert_good(client.get("/api/alice/tasks", headers=headers))


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({}, True),
        ({"aud": ["https://else.example", "{url}"]}, True),
        ({"iss": "https://else.example"}, False),
        ({"iss": "{url}/"}, False),
        ({"iss": None}, False),
        ({"aud": "better-auth:session-cache"}, False),
        ({"aud": None}, False),
        ({"aud": []}, False),
        ({"aud": {"{url}": 1}}, False),
    ],
)
def test_issuer_and_audience_must_be_those_that_better_auth_sets(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], given: dict[str, Any], good: bool
) -> None:
    others = json.loads(json.dumps(given).replace("{url}", frontend.url))
    response = ask(pairs["EdDSA"].token(frontend.claims(**others)))
    (assert_good if good else assert_invalid)(response)


def test_issuer_and_audience_can_be_set(tables: URL, frontend: Issuer) -> None:
    pair = frontend.pairs[0]
    settings = {"jwt_issuer": "https://us.example", "jwt_audience": "tasks"}
    with service(tables, better_auth_url=frontend.url, **settings) as client:

        def ask(**others: Any) -> int:
            token = pair.token(frontend.claims(**others))
            headers = {"Authorization": f"Bearer {token}"}
            return client.get("/api/alice/tasks", headers=headers).status_code

        assert ask(iss="https://us.example", aud="tasks") == 200
        assert ask(iss="https://us.example") == 401
        assert ask(aud="tasks") == 401


def test_the_issuer_may_have_several_hosts(tables: URL, frontend: Issuer) -> None:
    hosts = f"{frontend.url},https://preview.us.example"
    settings = {"jwt_issuer": hosts, "jwt_audience": hosts}
    with service(tables, better_auth_url=frontend.url, **settings) as client:

        def ask(**others: Any) -> httpx.Response:
            token = frontend.pairs[0].token(frontend.claims(**others))
            headers = {"Authorization": f"Bearer {token}"}
            return client.get("/api/alice/tasks", headers=headers)

        assert_good(ask())
        assert_good(ask(iss="https://preview.us.example", aud="https://preview.us.example"))
        assert_invalid(ask(iss="https://other.example"))
        assert_invalid(ask(aud="better-auth:session-cache"))
        assert_invalid(ask(aud=None))


def test_an_unknown_issuer_or_audience_is_logged(
    client: httpx.Client, ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    with recorded_log() as log:
        ask(pairs["EdDSA"].token(frontend.claims(iss="https://preview.example")))
        ask(pairs["EdDSA"].token(frontend.claims(aud=["a b\n[ERROR]", "\u0660" + "x" * 300])))
        eventually(lambda: log.getvalue().count("INVALID_TOKEN") == 2)
    assert "another iss: https://preview.example client=" in log.getvalue()
    [line] = [line for line in log.getvalue().splitlines() if "another aud" in line]
    assert r"another aud: ['a\x20b\n[ERROR]',\x20'\u0660xxx" in line
    assert "x..." in line
    assert len(line) < 500


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_does_not_verify_hs256(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], algorithm: str
) -> None:
    pair = pairs[algorithm]
    public = pair.private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, spki).decode()
    for secret in (pem, pem.strip(), json.dumps(pair.jwk), pair.jwk.get("x", "n")):
        for header in ({"alg": "HS256", "kid": pair.kid}, {"alg": algorithm, "kid": pair.kid}):
            assert_invalid(ask(forge(frontend.claims(), header, secret=secret)))


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "", "HS384", "HS512", "ES384", "RS384", "RS512", "PS512", "eddsa"),
        *("ed25519", "Ed448", "dir", "A128KW", "RSA-OAEP", None, 1, ["EdDSA"], {"EdDSA": 1}),
    ],
)
def test_an_algorithm_that_is_not_allowed_is_refused(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], algorithm: object
) -> None:
    asked = len(frontend.requests)
    for pair in pairs.values():
        header = {"alg": algorithm, "kid": pair.kid}
        assert_invalid(ask(pair.sign(header, frontend.claims())))
        assert_invalid(ask(f"{base64url(header)}.{base64url(frontend.claims())}."))
    assert len(frontend.requests) == asked


def test_the_newer_name_of_eddsa_is_accepted_only_for_eddsa_keys(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    assert_good(ask(pairs["EdDSA"].token(frontend.claims(), alg="Ed25519")))
    for algorithm in set(ALGORITHMS) - {"EdDSA"}:
        assert_invalid(ask(pairs[algorithm].token(frontend.claims(), alg="Ed25519")))


def test_an_algorithm_that_does_not_match_the_key_is_refused(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    for algorithm in ALGORITHMS:
        for other in set(ALGORITHMS) - {algorithm}:
            assert_invalid(ask(pairs[algorithm].token(frontend.claims(), kid=pairs[other].kid)))
            assert_invalid(ask(pairs[algorithm].token(frontend.claims(), alg=other)))


@pytest.mark.parametrize("kid", [None, 1, [], {}, True, ["kid"]])
def test_a_token_must_name_its_key(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], kid: object
) -> None:
    asked = len(frontend.requests)
    assert_invalid(ask(pairs["EdDSA"].token(frontend.claims(), kid=kid)))
    assert len(frontend.requests) == asked


def test_a_key_inside_the_token_is_not_used(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    mallory = Pair("EdDSA", kid=pairs["EdDSA"].kid)
    token = mallory.token(frontend.claims(), jwk=mallory.jwk, jku="http://127.0.0.1:9/", x5c=["x"])
    assert_invalid(ask(token))


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("JWT", True),
        ("jwt", True),
        ("application/jwt", True),
        ("at+jwt", True),
        ("better-auth.session-cache+jwt", False),
        ("dpop+jwt", False),
        ("", False),
        (1, False),
        ([], False),
    ],
)
def test_a_token_with_another_typ_is_refused(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], kind: object, good: bool
) -> None:
    response = ask(pairs["EdDSA"].token(frontend.claims(), typ=kind))
    (assert_good if good else assert_invalid)(response)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_has_only_one_valid_encoding(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair], algorithm: str
) -> None:
    token = pairs[algorithm].token(frontend.claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    after = alphabet[(alphabet.index(token[-1]) + 1) % 64]
    for wrong in (token[:-1] + after, token[:-1], token + "A", token + "AAAA", token + "="):
        assert_invalid(ask(wrong))


def test_an_ecdsa_signature_must_have_the_format_of_jose(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    """JOSE requires two halves of full length (RFC 7518, section 3.4). OpenSSL's format is DER."""
    pair = pairs["ES256"]
    signed, _, good = pair.token(frontend.claims()).rpartition(".")
    der = pair.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    raw = urlsafe_b64decode(good + "==")
    assert_good(ask(f"{signed}.{base64url(raw)}"))
    for wrong in (der, raw[:32] + b"\0" + raw[32:], b"", bytes(64), bytes(63), b"\xff" * 64):
        assert_invalid(ask(f"{signed}.{base64url(wrong)}"))


def test_claims_and_headers_are_checked_as_for_hs256_tokens(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    """The checks after the signature are the same code, which test_verifier.py tests in full."""
    pair, good = pairs["EdDSA"], frontend.claims()
    without = {name: {k: v for k, v in good.items() if k != name} for name in ("exp", "sub")}
    payloads: list[object] = [
        *(b"", b"1", b"[]", b"null", b"[" * 5000, b"\xff", without["exp"], without["sub"]),
        *(raw(good, exp=text) for text in ("Infinity", "NaN", "1e400", '"9999999999"', "true")),
        *({**good, "sub": subject} for subject in ("", " ", 1, None, ["alice"], "a\0b", "x" * 256)),
        {**without["sub"], "id": "alice", "userId": "alice", "email": "alice"},
        {**good, "nbf": time.time() + 60},
    ]
    for payload in payloads:
        assert_invalid(ask(pair.token(payload)))
    assert_invalid(ask(pair.token(good, crit=["exp"])))
    assert_invalid(ask(pair.sign(nested(1000), good)))


def test_an_expired_token_gets_an_error_that_says_so(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    expired = ask(pairs["EdDSA"].token(frontend.claims(exp=int(time.time()) - 12)))
    assert (expired.status_code, expired.json()) == (401, TOKEN_EXPIRED)
    assert_good(ask(pairs["EdDSA"].token(frontend.claims(exp=int(time.time()) - 7))))


def test_a_token_of_more_than_16_kib_is_refused(
    ask: Ask, frontend: Issuer, pairs: dict[str, Pair]
) -> None:
    assert_good(ask(pairs["RS256"].token(frontend.claims(x="x" * 11_000))))
    assert_invalid(ask(pairs["RS256"].token(frontend.claims(x="x" * 12_200))))


def test_hs256_needs_a_secret(tables: URL, frontend: Issuer) -> None:
    with service(tables, better_auth_url=frontend.url, better_auth_secret=None) as client:
        for secret in ("", "None", SECRET, secrets.token_urlsafe(48)):
            token = forge(frontend.claims(), secret=secret, digest=hashlib.sha256)
            headers = {"Authorization": f"Bearer {token}"}
            assert_invalid(client.get("/api/alice/tasks", headers=headers))
