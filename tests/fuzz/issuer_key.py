"""The key of the fuzzer's issuer. It is fixed, so that the tokens in the corpus stay valid."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.services import base64url

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KID = "fuzz"
JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": base64url(PRIVATE_KEY.public_key().public_bytes_raw()),
    "kid": KID,
}
