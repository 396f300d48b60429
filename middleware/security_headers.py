"""The headers of every response, errors included.

OWASP recommends them for an API
(https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers).
Strict-Transport-Security is not among them: it applies to a whole host, so only the server that
terminates TLS there can send it. Browsers ignore it on plain HTTP (RFC 6797, section 8.1).
"""

from collections.abc import Sequence

RawHeader = tuple[bytes, bytes]

DEFAULTS: tuple[RawHeader, ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
NAMES = frozenset(name for name, _ in DEFAULTS)


def with_defaults(headers: Sequence[RawHeader]) -> list[RawHeader]:
    """Return `headers` and the defaults that are not in them."""
    given = dict(headers)
    if NAMES.isdisjoint(given):
        return [*headers, *DEFAULTS]
    return [*headers, *(default for default in DEFAULTS if default[0] not in given)]
