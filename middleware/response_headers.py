"""The headers of every response, whichever part of the service makes it."""

from collections.abc import Sequence

from starlette.types import Scope

from middleware.security_headers import DEFAULTS, JSON, NAMES, RawHeader, missing_defaults
from observability.request_id import HEADER, request_id

CORS_HEADERS = "cors_headers"  # the key of a scope that holds the CORS headers for the response


def complete(headers: Sequence[RawHeader], scope: Scope, status: int) -> list[RawHeader]:
    """Return `headers` with the CORS headers, and with the request's id and defaults if missing."""
    given = dict(headers)
    cors: tuple[RawHeader, ...] = scope.get(CORS_HEADERS, ())
    for name, _ in cors:
        if name in given:
            headers, cors = _merged(headers, cors)
            break
    if given.get(b"content-type") == JSON and NAMES.isdisjoint(given):
        others: Sequence[RawHeader] = DEFAULTS
    else:
        others = missing_defaults(given, status)
    own = () if HEADER in given else ((HEADER, request_id(scope).encode()),)
    return [*headers, *own, *cors, *others]


def _merged(
    headers: Sequence[RawHeader], cors: Sequence[RawHeader]
) -> tuple[list[RawHeader], tuple[RawHeader, ...]]:
    """Return both, merged where they have a name in common.

    `Vary` gets the values of both. The other headers get the value of `cors`.
    """
    names = {name for name, _ in cors}
    varying = [value for name, value in (*headers, *cors) if name == b"vary"]
    kept = [header for header in headers if header[0] not in names]
    vary = (b"vary", b", ".join(varying))
    return kept, (*(header for header in cors if header[0] != b"vary"), vary)
