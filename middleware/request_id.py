"""The header that tells the client the id of its request."""

from starlette.types import Message, Scope, Send

from middleware.security_headers import RawHeader
from observability.request_id import HEADER, request_id


def with_request_id(scope: Scope, send: Send, *others: RawHeader) -> Send:
    """Return `send` with the id, and `others`, as headers of the response to `scope`."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (HEADER, request_id(scope).encode())
            message["headers"] = [*message.get("headers", ()), header, *others]
        await send(message)

    return send_with_id
