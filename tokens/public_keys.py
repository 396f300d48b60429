"""Convert the public keys of an issuer from JWKs (RFC 7517) to signature verifiers.

cryptography verifies the signatures, and python-jose verifies the tokens, as it does for HS256. So
the checks before and after a signature are the same. Of Better Auth's algorithms, python-jose lacks
EdDSA and PS256, and it accepts an EC key for any hash. The subclasses of its `Key` here add what it
lacks. The alternative was a second library for tokens, joserfc or PyJWT. Both support all of these
algorithms, but take another 2 MB, and would need their own defence against hostile tokens.

This module is imported only if there is an issuer, because cryptography takes 7 MB.
"""

from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jose.backends.base import Key

MIN_RSA_BITS = 2048  # RFC 7518, section 3.3
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT = 2**32  # a larger one only makes verification slow


class Ed25519Key(Key):
    """EdDSA on Ed25519 (RFC 8037)."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(_octets(jwk, "x"))

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Return True. python-jose treats cryptography's InvalidSignature as False."""
        self._key.verify(sig, msg)
        return True


class ECKey(Key):
    """ECDSA (RFC 7518, section 3.4): each algorithm has one curve and one hash."""

    def __init__(
        self, jwk: Mapping[str, Any], curve: ec.EllipticCurve, digest: hashes.HashAlgorithm
    ) -> None:
        self._key = ec.EllipticCurvePublicNumbers(
            _integer(jwk, "x"), _integer(jwk, "y"), curve
        ).public_key()
        self._algorithm = ec.ECDSA(digest)
        self._size = (curve.key_size + 7) // 8  # bytes of each half of a signature

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Return True, or raise an exception, which python-jose treats as False."""
        if len(sig) != 2 * self._size:
            return False
        halves = (int.from_bytes(half) for half in (sig[: self._size], sig[self._size :]))
        self._key.verify(encode_dss_signature(*halves), msg, self._algorithm)
        return True


class RSAKey(Key):
    """RSA with SHA-256 (RFC 7518, sections 3.3 and 3.5)."""

    def __init__(self, jwk: Mapping[str, Any], padding: padding.AsymmetricPadding) -> None:
        numbers = rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n"))
        if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
            raise ValueError("an RSA key of this size is not accepted")
        if numbers.e > MAX_RSA_EXPONENT:
            raise ValueError("an RSA key with this exponent is not accepted")
        self._key = numbers.public_key()
        self._padding = padding

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Return True. python-jose treats cryptography's InvalidSignature as False."""
        self._key.verify(sig, msg, self._padding, hashes.SHA256())
        return True


_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
# Maps `kty` and `crv` to the algorithms of such a key, each with a function that makes the key.
_ALGORITHMS: dict[tuple[str, str | None], dict[str, Callable[[Mapping[str, Any]], Key]]] = {
    ("OKP", "Ed25519"): {"EdDSA": Ed25519Key, "Ed25519": Ed25519Key},
    ("EC", "P-256"): {"ES256": lambda jwk: ECKey(jwk, ec.SECP256R1(), hashes.SHA256())},
    ("EC", "P-521"): {"ES512": lambda jwk: ECKey(jwk, ec.SECP521R1(), hashes.SHA512())},
    ("RSA", None): {
        "RS256": lambda jwk: RSAKey(jwk, padding.PKCS1v15()),
        "PS256": lambda jwk: RSAKey(jwk, _PSS),
    },
}


# RFC 9864, section 2.2, gives EdDSA with this curve a name of its own. The signature is the same.
_SYNONYMS = {"EdDSA": ("EdDSA", "Ed25519"), "Ed25519": ("EdDSA", "Ed25519")}


def verifiers(jwk: Mapping[str, Any]) -> dict[str, Key]:
    """Return the verifiers of `jwk` by algorithm. If it has an `alg`, the others are left out.

    Raises what cryptography raises for a malformed key. The result is empty if the key is not for
    signatures.
    """
    if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops", ["verify"])):
        return {}
    curve = None if jwk["kty"] == "RSA" else jwk["crv"]
    makers = _ALGORITHMS.get((jwk["kty"], curve), {})
    names = _SYNONYMS.get(jwk["alg"], (jwk["alg"],)) if "alg" in jwk else makers.keys()
    return {algorithm: make(jwk) for algorithm, make in makers.items() if algorithm in names}


def _may_verify(key_ops: object) -> bool:
    """Return whether `key_ops` has `verify` and no duplicates (RFC 7517, section 4.3)."""
    return (
        isinstance(key_ops, list)
        and all(isinstance(name, str) for name in key_ops)
        and len(set(key_ops)) == len(key_ops)
        and "verify" in key_ops
    )


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk[name]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _integer(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_octets(jwk, name))
