"""An issuer like Better Auth: it makes keys and tokens, and serves a key set over HTTP."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.services import base64url, claims

PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


class Pair:
    """A key pair for one algorithm; `jwk` is its public half."""

    def __init__(self, algorithm: str, kid: str = "") -> None:
        self.algorithm = algorithm
        self.kid = kid or secrets.token_urlsafe(16)
        self.private, parts, self._sign = MAKERS[algorithm]()
        self.jwk: dict[str, Any] = {**parts, "alg": algorithm, "kid": self.kid}

    def token(self, payload: object, **header: Any) -> str:
        """Return a token signed with this key. `header` changes its header; None drops a value."""
        full = {"alg": self.algorithm, "kid": self.kid, **header}
        kept = {name: value for name, value in full.items() if value is not None}
        return self.sign(kept, payload)

    def sign(self, header: object, payload: object) -> str:
        """Return a token with any header and payload."""
        signed = f"{base64url(header)}.{base64url(payload)}"
        return f"{signed}.{base64url(self._sign(signed.encode()))}"


Made = tuple[Any, dict[str, str], Callable[[bytes], bytes]]


def number(value: int, size: int = 0) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8))


def _ed25519() -> Made:
    private = ed25519.Ed25519PrivateKey.generate()
    x = base64url(private.public_key().public_bytes_raw())
    return private, {"kty": "OKP", "crv": "Ed25519", "x": x}, private.sign


def ec_jwk(private: ec.EllipticCurvePrivateKey, curve: str) -> dict[str, str]:
    numbers, size = private.public_key().public_numbers(), (private.key_size + 7) // 8
    return {"kty": "EC", "crv": curve, "x": number(numbers.x, size), "y": number(numbers.y, size)}


def _ec(name: str, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> Made:
    private, size = ec.generate_private_key(curve), (curve.key_size + 7) // 8

    def sign(message: bytes) -> bytes:
        halves = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
        return b"".join(half.to_bytes(size) for half in halves)

    return private, ec_jwk(private, name), sign


def rsa_jwk(private: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}


def _rsa(scheme: padding.AsymmetricPadding) -> Made:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return private, rsa_jwk(private), lambda data: private.sign(data, scheme, hashes.SHA256())


MAKERS: dict[str, Callable[[], Made]] = {
    "EdDSA": _ed25519,
    "ES256": lambda: _ec("P-256", ec.SECP256R1(), hashes.SHA256()),
    "ES512": lambda: _ec("P-521", ec.SECP521R1(), hashes.SHA512()),
    "RS256": lambda: _rsa(padding.PKCS1v15()),
    "PS256": lambda: _rsa(PSS),
}


class Issuer:
    """An issuer's state: how /api/auth/jwks responds, and the requests that it received."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.requests: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None  # if set, sent instead of the key set
        self.delay = 0.0  # seconds before the response
        self.may_answer = Event()
        self.may_answer.set()
        self.url = ""

    def publish(self, *pairs: Pair) -> None:
        self.pairs = list(pairs)

    def answer(self) -> bytes:
        if self.body is not None:
            return self.body
        return json.dumps({"keys": [pair.jwk for pair in self.pairs]}).encode()

    def claims(self, user_id: str = "alice", **others: Any) -> dict[str, Any]:
        """Return the claims that Better Auth puts into a token."""
        now = int(time.time())
        times = {"iat": now, "exp": now + 900}
        return {**claims(user_id, iss=self.url, aud=self.url), **times, **others}


@contextmanager
def issuer(port: int = 0) -> Iterator[Issuer]:
    """Run an issuer on the loopback, at a free port or at `port`."""
    state = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            time.sleep(state.delay)
            state.may_answer.wait(60)
            body = state.answer()
            self.send_response(state.status)
            for name, value in {"Content-Length": str(len(body)), **state.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the service closes the connection when it has read enough
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Clock(SimpleNamespace):
    """A clock for the key set, which a test can set ahead or stop."""

    ahead = 0.0
    stopped: float | None = None

    def monotonic(self) -> float:
        return (self.stopped or time.monotonic()) + self.ahead

    def stop(self) -> None:
        """Stop the clock. A test can still add to `ahead`."""
        self.stopped = float(int(time.monotonic()))
