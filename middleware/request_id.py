"""The id of a request: on every answer, and in each of its lines of the log."""

import re
from random import getrandbits

from starlette.types import Message, Scope, Send

from middleware.headers import RawHeader
from redaction import holds_token

HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id(scope: Scope) -> str:
    """The client's own `X-Request-ID` if it is sane, else 32 random hexadecimal digits.

    It is made when it is first asked for: a request that waits has none yet.
    """
    if "request_id" not in scope:
        scope["request_id"] = _given(scope) or new_id()
    known: str = scope["request_id"]
    return known


def new_id() -> str:
    """32 random hexadecimal digits, which are unique, and no secret."""
    return f"{getrandbits(128):032x}"


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            is_sane = SANE.fullmatch(value) and not holds_token(value.decode())
            return value.decode() if is_sane else None
    return None


def identified(scope: Scope, send: Send, *others: RawHeader) -> Send:
    """`send`, whose answer to the request of `scope` gets the id, and `others`, as headers."""

    async def identifying(message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (HEADER, request_id(scope).encode())
            message["headers"] = [*message.get("headers", ()), header, *others]
        await send(message)

    return identifying
