"""The security headers of every response, errors included.

OWASP recommends them for an API
(https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers).
Strict-Transport-Security is not among them: it applies to a whole host, so only the server that
terminates TLS there can send it. Browsers ignore it on plain HTTP (RFC 6797, section 8.1).
"""

from collections.abc import Mapping, Sequence

RawHeader = tuple[bytes, bytes]

JSON = b"application/json"
CACHE_CONTROL: RawHeader = (b"cache-control", b"no-store")
_OF_EVERY_KIND: tuple[RawHeader, ...] = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
# The headers of the API's own responses: JSON, errors, and responses without a body.
DEFAULTS: tuple[RawHeader, ...] = (
    CACHE_CONTROL,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    *_OF_EVERY_KIND,
)
# The headers of a page, a script or another file that a developer adds. Under the API's policy, a
# browser would run no script of a page, and Starlette's StaticFiles can't set another one.
OF_FILES: tuple[RawHeader, ...] = (
    (b"content-security-policy", b"frame-ancestors 'none'"),
    *_OF_EVERY_KIND,
)
NAMES = frozenset(name for name, _ in DEFAULTS)
VALIDATORS = frozenset((b"etag", b"last-modified"))


def with_defaults(headers: Sequence[RawHeader]) -> list[RawHeader]:
    """Return `headers` and the defaults of the API that are not in them."""
    return [*headers, *_missing(DEFAULTS, dict(headers))]


def missing_defaults(headers: Mapping[bytes, bytes], status: int) -> Sequence[RawHeader]:
    """Return the defaults for a response with `headers`, except those that it has."""
    if status == 304:  # a browser replaces the headers of its copy with those of the 304
        return ()
    kind = headers.get(b"content-type")
    if kind is None or _is_json(kind):
        return _missing(DEFAULTS, headers)
    if VALIDATORS.isdisjoint(headers):
        return _missing((CACHE_CONTROL, *OF_FILES), headers)
    return _missing(OF_FILES, headers)  # may be stored, because the browser can check its copy


def _missing(defaults: Sequence[RawHeader], headers: Mapping[bytes, bytes]) -> Sequence[RawHeader]:
    if NAMES.isdisjoint(headers):
        return defaults
    return [default for default in defaults if default[0] not in headers]


def _is_json(content_type: bytes) -> bool:
    """Return whether a content type is JSON, such as `application/problem+json; charset=utf-8`."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == JSON or media_type.endswith(b"+json")
