"""The id of a request, which is in its response and in each of its log lines."""

import re
from random import getrandbits

from starlette.types import Scope

from observability.redaction import holds_token

HEADER = b"x-request-id"
VALID_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id(scope: Scope) -> str:
    """Return the client's own `X-Request-ID` if it is valid, else 32 random hexadecimal digits.

    The id is generated when it is first needed, so a waiting request has none yet.
    """
    if "request_id" not in scope:
        scope["request_id"] = _given(scope) or new_id()
    known: str = scope["request_id"]
    return known


def new_id() -> str:
    """Return 32 random hexadecimal digits, which are unique, and are not a secret."""
    return f"{getrandbits(128):032x}"


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            is_valid = VALID_ID.fullmatch(value) and not holds_token(value.decode())
            return value.decode() if is_valid else None
    return None
