"""The header that tells the client the id of its request."""

from starlette.types import Message, Scope, Send

from observability.request_id import HEADER, request_id


def with_request_id(scope: Scope, send: Send) -> Send:
    """Return a `send` that adds the id of the request to the headers of the response."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (HEADER, request_id(scope).encode())
            message["headers"] = [*message.get("headers", ()), header]
        await send(message)

    return send_with_id
