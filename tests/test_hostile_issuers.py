"""What an issuer may answer: whatever it is, it is bounded, understood or refused, never a 500."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import fetching
import jwks
from errors import AuthUnavailable, InvalidToken
from fetching import FetchError
from jwks import KeySet, UnknownKey
from tests.issuer import Issuer, Pair, ec_jwk, issuer, number, rsa_jwk
from tests.support import base64url

GOOD = Pair("EdDSA", kid="good")
OK = b"HTTP/1.1 200 OK\r\n"


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


@contextmanager
def answering(*parts: bytes, pause: float = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that takes one request and answers with `parts`; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with tls.wrap_socket(connection, server_side=True) if tls else connection as peer:
                peer.recv(65536)
                for part in parts:
                    peer.sendall(part)
                    time.sleep(pause)
        except OSError:  # the other side has had enough
            connection.close()

    thread = Thread(target=serve)
    thread.start()
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://localhost:{listener.getsockname()[1]}/keys"
    finally:
        thread.join()
        listener.close()


def get(url: str, context: ssl.SSLContext | None = None, seconds: float = 5) -> bytes:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the service's
        return runner.run(fetching.get(url, context, seconds, 1000))


@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"Content-Length: 2\r\n\r\n{}"],
        [OK + b"Content-Length: 2\r\n\r\n", b"{", b"}"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n", b"}\r\n0\r\n\r\n"],
        [OK + b"\r\n{", b"}"],
        [b"HTTP/1.0 200 OK\r\n\r\n{}"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", OK + b"Content-Length: 2\r\n\r\n{}"],
    ],
)
def test_every_form_of_an_answer_is_understood(parts: list[bytes]) -> None:
    with answering(*parts, pause=0.02) as url:
        assert get(url) == b"{}"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "the answer is empty"),
        ([b"\x16\x03\x01garbage\r\n\r\n"], "HttpParser"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "the answer is 204"),
        ([b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], "the answer is 301"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], "HttpParser"),
        ([OK + b"X: " + b"x" * 2000 + b"\r\n\r\n{}"], "larger than 1000 bytes"),
        ([OK + b"Content-Length: 2000\r\n\r\n", b"x" * 2000], "larger than 1000 bytes"),
    ],
)
def test_every_other_answer_is_refused(parts: list[bytes], reason: str) -> None:
    with answering(*parts) as url, pytest.raises(FetchError, match=reason):
        get(url)


def test_an_answer_a_byte_at_a_time_is_cut_off() -> None:
    started = time.monotonic()
    with answering(*[OK, *[b"X: y\r\n"] * 100], pause=0.1) as url:
        with pytest.raises(FetchError, match=r"no answer within 0\.3 s"):
            get(url, seconds=0.3)
        assert time.monotonic() - started < 5


def test_nobody_at_the_address_is_an_error_of_ours() -> None:
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        get("http://127.0.0.1:9/keys")
    for host in ("nowhere.invalid", "a..example", "x" * 64 + ".example"):
        with pytest.raises(FetchError, match=r"gaierror|Unicode\w*Error"):
            get(f"http://{host}/keys")


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]]:
    """Makes a server's TLS for a name, and that of a client who trusts it."""

    def make(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (tmp_path / "certificate").write_bytes(certificate.public_bytes(pem))
        (tmp_path / "key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
        return server, ssl.create_default_context(cafile=tmp_path / "certificate")

    return make


def test_an_issuer_is_known_by_its_certificate(
    certified: Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]],
) -> None:
    server, trusting = certified("localhost")
    answer = OK + b"Content-Length: 2\r\n\r\n{}"
    with answering(answer, tls=server) as url:
        assert get(url, trusting) == b"{}"
    with answering(answer, tls=server) as url, pytest.raises(FetchError, match="SSLCert"):
        get(url, ssl.create_default_context())
    server, trusting = certified("another.example")
    with answering(answer, tls=server) as url, pytest.raises(FetchError, match="SSLCert"):
        get(url, trusting)
