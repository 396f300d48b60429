"""One request and its response: `receive` and `send` of the ASGI application.

https://asgi.readthedocs.io/en/latest/specs/www.html, version 2.3.
"""

import asyncio
import logging
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from errors import APIError, InternalError
from middleware.security_headers import RawHeader
from serving.head import Head
from serving.response import ResponseWriter

# Bytes of a body that are read after the response; a fast sender is past 2 MiB before it looks up.
MAX_UNREAD_BODY = 4 * 1024 * 1024
MAX_BUFFERED_BODY = 64 * 1024  # bytes that the application has not received, until reading pauses

logger = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What an exchange needs of its connection (protocol.py)."""

    writing_paused: bool

    @property
    def default_headers(self) -> list[RawHeader]: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def response_complete(self) -> None: ...
    def refuse(self, error: APIError) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """A request on its way to the application, and the response on its way back."""

    __slots__ = (
        "_body",
        "_connection",
        "_content",
        "_delivered",
        "_event",
        "_expects_continue",
        "_received",
        "_response",
        "complete",
        "disconnected",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(self, connection: Connection, scope: Scope, head: Head) -> None:
        self.scope = scope
        self.keep_alive = head.keep_alive
        self.disconnected = False
        self.started = False  # whether the application has sent a status
        self.complete = False  # whether it has sent the whole response
        self._connection = connection
        self._body = head.body
        self._expects_continue = head.expects_continue
        self._content = bytearray()  # the part of the body that the application has yet to receive
        self._received = head.body is None  # whether the whole body has arrived
        self._delivered = False  # whether the application has received it
        self._event: asyncio.Event | None = None  # set when `receive` has something to return
        self._response = ResponseWriter(head.method, head.version)

    async def run(self, app: ASGIApp) -> None:
        """Call the application. If it fails, refuse the request or cut the response off."""
        if self.disconnected:  # the body was malformed, in the same segment
            return
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            logger.error("Exception in ASGI application", exc_info=error)
        if self.complete or self.disconnected:
            return
        if self.started:
            self._connection.abort()  # a part must not pass for the whole
        else:
            self._connection.refuse(InternalError())

    def feed(self, content: bytes, received: bool) -> None:
        """Take the next part of the body. `received` says that it is the last."""
        self._content += content
        self._received = received
        self._expects_continue = False
        if len(self._content) > MAX_BUFFERED_BODY:
            self._connection.pause_reading()
        self._wake()

    def disconnect(self) -> None:
        """Tell the application that the client has left."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    async def receive(self) -> Message:
        """Return the next part of the body, or wait for the end of the exchange."""
        if self._expects_continue and not self.started:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects_continue = False
        while not self._has_news():
            self._connection.resume_reading()
            self._event = self._event or asyncio.Event()
            self._event.clear()
            await self._event.wait()
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        self._delivered = self._received
        body, self._content = bytes(self._content), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self._received}

    def _has_news(self) -> bool:
        return (
            self.disconnected
            or self.complete
            or bool(self._content)
            or self._received > self._delivered
        )

    async def send(self, message: Message) -> None:
        """Write the response. Raises RuntimeError if the message does not fit."""
        if self._connection.writing_paused:
            await self._connection.drain()
        if self.disconnected:
            return
        if not self.started:
            self._start(message)
        elif self.complete:
            raise RuntimeError("The response is complete already.")
        else:
            self._continue(message)

    def _start(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError("The response must begin with http.response.start.")
        if self._expects_continue:
            # The client may send its body or not: what follows can't be told from it.
            self.keep_alive = False
        if self._body is not None and self._body.missing > MAX_UNREAD_BODY:
            self.keep_alive = False
        default_headers = self._connection.default_headers
        self.keep_alive = self._response.start(message, default_headers, self.keep_alive)
        self.started = True

    def _continue(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError("The response must go on with http.response.body.")
        more = message.get("more_body", False)
        self._connection.write(self._response.body(message.get("body", b""), more))
        if not more:
            self.complete = True
            self._wake()
            self._connection.response_complete()
