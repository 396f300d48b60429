"""Every invalid token gets the same 401, whatever error python-jose raises."""

import hashlib
import json
import random
import string
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from errors import InvalidToken, TokenExpired
from tests.support.responses import INVALID_TOKEN, TOKEN_EXPIRED
from tests.support.services import HEADER, base64url, claims, forge, nested, raw
from tests.support.serving import SECRET
from tokens.verifier import CACHED_TOKEN_LENGTH, CACHED_TOKENS, TokenVerifier

Ask = Callable[[str | bytes], httpx.Response]
MISSING = object()


@pytest.fixture
def ask(anonymous: httpx.Client, alice: str) -> Ask:
    """A function that requests alice's tasks with a token."""

    def ask(token: str | bytes) -> httpx.Response:
        token = token if isinstance(token, bytes) else token.encode()
        headers = {b"Authorization": b"Bearer " + token}
        return anonymous.get(f"/api/{alice}/tasks", headers=headers)

    return ask


def assert_invalid(response: httpx.Response) -> None:
    assert (response.status_code, response.json()) == (401, INVALID_TOKEN)
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_valid_token_is_accepted(ask: Ask, alice: str) -> None:
    """The control: it shows that the other tokens are refused only because of their faults."""
    assert ask(forge(claims(alice))).status_code == 200
    assert ask(forge(raw(claims(alice), exp=str(int(time.time()) + 60) + ".5"))).status_code == 200
    assert ask(forge(claims(alice, iat=0, jti="1"), {**HEADER, "kid": "1"})).status_code == 200


@pytest.mark.parametrize("value", ['"9999999999"', "true", "false", "null", "[]", "{}"])
@pytest.mark.parametrize("claim", ["exp", "nbf"])
def test_a_time_must_be_a_number(ask: Ask, alice: str, claim: str, value: str) -> None:
    assert_invalid(ask(forge(raw(claims(alice), **{claim: value}))))


@pytest.mark.parametrize(
    "value", ["Infinity", "-Infinity", "NaN", "1e400", "9" * 400, "9" * 5000, "-" + "9" * 400]
)
@pytest.mark.parametrize("claim", ["exp", "nbf"])
def test_a_time_must_be_finite(ask: Ask, alice: str, claim: str, value: str) -> None:
    assert_invalid(ask(forge(raw(claims(alice), **{claim: value}))))


def test_a_token_without_exp_is_refused(ask: Ask, alice: str) -> None:
    assert_invalid(ask(forge({"sub": alice})))


# The limit is 10 s. The margins are for a slow machine.
@pytest.mark.parametrize(
    ("claim", "seconds", "body"),
    [
        ("exp", -7, None),
        ("exp", -11, TOKEN_EXPIRED),
        ("exp", -1e9, TOKEN_EXPIRED),
        ("nbf", -1e9, None),
        ("nbf", 9, None),
        ("nbf", 13, INVALID_TOKEN),
        ("nbf", 1e9, INVALID_TOKEN),
    ],
)
def test_clocks_may_differ_by_10_seconds(
    ask: Ask, alice: str, claim: str, seconds: float, body: object
) -> None:
    response = ask(forge(claims(alice, **{claim: time.time() + seconds})))
    assert response.status_code == (200 if body is None else 401)
    assert body is None or response.json() == body


@pytest.mark.parametrize(
    "subject",
    [MISSING, None, "", " ", "\t\u2003", 42, 1.5, True, ["alice"], {"id": 1}, "x" * 256, "a\0b"],
)
def test_the_subject_must_be_a_user_id(ask: Ask, alice: str, subject: object) -> None:
    wrong = claims(alice, sub=subject)
    if subject is MISSING:
        del wrong["sub"]
    assert_invalid(ask(forge(wrong)))


def test_the_subject_must_be_valid_unicode(ask: Ask, alice: str) -> None:
    assert_invalid(ask(forge(raw(claims(alice), sub=r'"\ud800"'))))


@pytest.mark.parametrize("name", ["id", "userId", "user_id", "email", "name", "uid", "Sub", "SUB"])
def test_no_other_claim_is_used_as_the_user_id(ask: Ask, alice: str, name: str) -> None:
    """Better Auth signs e-mail links with the same secret, but their tokens are not a login."""
    mail = {name: alice, "exp": int(time.time()) + 3600}
    assert_invalid(ask(forge(mail)))
    assert ask(forge({**mail, "sub": "mallory"})).status_code == 403


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("HS384", hashlib.sha384),
        ("HS512", hashlib.sha512),
        ("HS384", hashlib.sha256),
        ("RS256", hashlib.sha256),
        ("ES256", hashlib.sha256),
        ("hs256", hashlib.sha256),
        ("none", hashlib.sha256),
        ("", hashlib.sha256),
        (None, hashlib.sha256),
        (["HS256"], hashlib.sha256),
        ({"HS256": 1}, hashlib.sha256),
    ],
)
def test_the_token_does_not_choose_the_algorithm(
    ask: Ask, alice: str, algorithm: object, digest: Callable[..., Any]
) -> None:
    assert_invalid(ask(forge(claims(alice), {"typ": "JWT", "alg": algorithm}, digest=digest)))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256"])
@pytest.mark.parametrize("signature", ["", "."])
def test_an_unsigned_token_is_refused(ask: Ask, alice: str, algorithm: str, signature: str) -> None:
    unsigned = f"{base64url({'alg': algorithm})}.{base64url(claims(alice))}"
    assert_invalid(ask(unsigned + signature))


@pytest.mark.parametrize(
    "secret",
    ["another secret of 32 characters!", "", SECRET + " "],
    ids=["another", "empty", "with a space"],
)
def test_a_token_signed_with_another_secret_is_refused(ask: Ask, alice: str, secret: str) -> None:
    assert_invalid(ask(forge(claims(alice), secret=secret)))


def test_a_key_inside_the_token_is_not_used(ask: Ask, alice: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    own = {"kty": "oct", "k": base64url(b"own"), "alg": "HS256"}
    places = {"jwk": own, "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "kid": ""}
    signed = f"{base64url({'alg': 'RS256', **places})}.{base64url(claims(alice))}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert_invalid(ask(f"{signed}.{base64url(signature)}"))
    assert_invalid(ask(forge(claims(alice), {**HEADER, **places}, secret=public.decode())))
    assert_invalid(ask(forge(claims(alice), {**HEADER, **places}, secret="own")))


@pytest.mark.parametrize(
    "header",
    [
        {**HEADER, "crit": ["exp"]},
        {**HEADER, "crit": []},
        {**HEADER, "crit": None},
        {**HEADER, "b64": False, "crit": ["b64"]},
        {"typ": "JWT"},
        {},
        [],
        ["alg"],
        "HS256",
        1,
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b'{"alg": "HS256", "x": NaN',
        nested(1000),
        nested(5000),
    ],
    ids=lambda header: str(header)[:30],
)
def test_a_malformed_header_is_refused(ask: Ask, alice: str, header: object) -> None:
    assert_invalid(ask(forge(claims(alice), header)))


@pytest.mark.parametrize(
    "payload",
    [[], ["sub"], "alice", 1, 1.5, True, None, b"", b"{", b"\xff", nested(1000), b"[" * 5000, {}],
    ids=lambda payload: str(payload)[:30],
)
def test_a_malformed_payload_is_refused(ask: Ask, payload: object) -> None:
    assert_invalid(ask(forge(payload)))


def test_a_token_of_more_than_16_kib_is_refused(ask: Ask, alice: str) -> None:
    small, large = (forge(claims(alice, x="x" * size)) for size in (12_150, 12_190))
    assert 16_350 < len(small) <= 16 * 1024 < len(large)
    assert ask(small).status_code == 200
    assert_invalid(ask(large))


MALFORMED = [
    "{header}.{payload}",
    "{header}.{payload}.",
    "{header}..{signature}",
    ".{payload}.{signature}",
    "..",
    ".",
    "{header}.{payload}.{signature}.",
    ".{header}.{payload}.{signature}",
    "{header}.{payload}.{signature}.{signature}",
    "{header}.{payload}.{header}.{payload}.{signature}",
    "{header}.{payload}.{signature}=",
    "{header}==.{payload}.{signature}",
    "{header}.{payload}.{signature}!",
    "{header}.!{payload}.{signature}",
    "{header}.{payload}. {signature}",
    "{header}.{payload}.{signature},{signature}",
    "{header}.{payload}.{signature}\u00e9",
    "\u202e{header}.{payload}.{signature}",
    "{header}.{payload}.\U0001f511",
    '"{header}.{payload}.{signature}"',
    "Bearer {header}.{payload}.{signature}",
    "{header}.{payload}.A",
    "{header}.{payload}.AAAA",
    "x",
    "null",
]


@pytest.mark.parametrize("form", MALFORMED)
def test_a_token_must_have_three_parts_of_base64url(ask: Ask, alice: str, form: str) -> None:
    header, payload, signature = forge(claims(alice)).split(".")
    assert_invalid(ask(form.format(header=header, payload=payload, signature=signature)))


def test_bytes_that_are_not_text_are_refused(ask: Ask, alice: str) -> None:
    token = forge(claims(alice)).encode()
    for wrong in (b"\xff\xfe", token + b"\xa0", token + b"\x85", token + b"\xff", b"\xa0" + token):
        assert_invalid(ask(wrong))


def test_no_bit_of_a_signature_may_be_changed(ask: Ask, alice: str) -> None:
    """The last character has two unused bits, which a lax decoder ignores."""
    token = forge(claims(alice))
    for character in set(string.ascii_letters + string.digits + "-_") - {token[-1]}:
        assert_invalid(ask(token[:-1] + character))


def changed(token: bytes, chance: random.Random) -> bytes:
    """Return `token` with some bytes inserted, removed or replaced."""
    alphabet = bytes(set(range(0x21, 0x7F)) | set(range(0x80, 0x100)))
    result = bytearray(token)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(result))
        change = bytes(chance.choices(alphabet, k=chance.randint(0, 3)))
        result[start : start + chance.randint(0, 3)] = change
    return bytes(result)


def test_a_randomly_changed_token_is_refused(ask: Ask, alice: str) -> None:
    chance, token = random.Random(1), forge(claims(alice)).encode()
    for wrong in {changed(token, chance) for _ in range(100)} - {token}:
        assert ask(wrong).status_code == 401, wrong


def test_the_verifier_raises_only_its_own_errors() -> None:
    chance, verifier = random.Random(2), TokenVerifier(SECRET)
    header, payload = json.dumps(HEADER).encode(), json.dumps(claims("alice")).encode()
    for _ in range(2000):
        # The signature is valid, so the verifier parses the changed parts.
        token = forge(changed(payload, chance), changed(header, chance))
        with suppress(InvalidToken, TokenExpired):
            assert len(verifier.user_id(token)) <= 255


def test_invalid_and_long_tokens_are_not_cached() -> None:
    verifier = TokenVerifier(SECRET)
    remembered = verifier._cached_claims.cache_info
    for number in range(100):
        for bad in (forge(claims("alice", n=number), secret="another"), f"{number}.x.y"):
            with pytest.raises(InvalidToken):
                verifier.user_id(bad)
    verifier.user_id(forge(claims("alice", x="x" * CACHED_TOKEN_LENGTH)))
    assert remembered().currsize == 0
    for number in range(CACHED_TOKENS + 10):
        verifier.user_id(forge(claims("alice", n=number)))
    assert remembered().currsize == CACHED_TOKENS
