"""One request and its response: `receive` and `send` of the ASGI application.

https://asgi.readthedocs.io/en/latest/specs/www.html, version 2.3.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from errors import APIError, InternalError, Overloaded, RequestTimeout, TooManyRequests
from memory import RESPONSE_PART
from middleware.security_headers import RawHeader
from observability.logs import request_context
from serving.body import SizedBody
from serving.head import Head
from serving.memory_budget import FREE, Hold, MemoryBudget
from serving.response import ResponseWriter

# Bytes of a body that are read after the response. A fast client sends more than 2 MiB before it
# reads the response.
MAX_UNREAD_BODY = 4 * 1024 * 1024
STREAM = 64 * 1024  # bytes that a streamed response takes besides the part that is being sent
MAX_BUFFERED_BODY = 64 * 1024  # bytes that the application has yet to receive when reading pauses
# Bytes of a body over RESPONSE_PART that are written at once. A thousand clients may each leave one
# slice unread.
SLICE = 16 * 1024

logger = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """The parts of a connection (protocol.py) that an exchange needs."""

    memory: MemoryBudget
    reserved: bool
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
        "_error",
        "_event",
        "_hold",
        "_received",
        "_response",
        "_taken",
        "complete",
        "disconnected",
        "expects_continue",
        "head_memory",
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
        self.expects_continue = head.expects_continue  # and has not been asked for the body
        self._content = bytearray()  # the part of the body that the application has yet to receive
        self._received = head.body is None  # whether the whole body has arrived
        self._delivered = False  # whether the application has received it
        self._taken = 0  # bytes of the body that the application has received
        self.head_memory: Hold | None = None  # the memory of the head, unless it is small
        self._hold: Hold | None = None  # the memory of the body, unless it is small
        self._error: APIError | None = None  # what `receive` raises
        self._event: asyncio.Event | None = None  # set when `receive` has something to return
        self._response = ResponseWriter(head.method, head.version)

    async def run(self, app: ASGIApp) -> None:
        """Call the application. If it fails, refuse the request or cut the response off."""
        try:
            if not self.disconnected:  # else the body, in the same segment, was malformed
                await app(self.scope, self.receive, self.send)
        except BaseException as error:
            logger.error(
                "Exception in ASGI application",
                exc_info=error,
                extra=request_context(self.scope),
            )
        finally:
            self._release_memory()
            self._error = None  # its traceback refers to this object
        if self.complete or self.disconnected:
            return
        if self.started:
            self._connection.abort()  # the client must not mistake a part for the whole
        else:
            self._connection.refuse(InternalError())

    def _user(self) -> str:
        user: str = self.scope.get("user_id", "")
        return user

    def _release_memory(self) -> None:
        if self.head_memory is not None:
            self.head_memory.release()
            self.head_memory = None
        if self._hold is not None:
            self._hold.release()
            self._hold = None
            self._connection.reserved = False

    def feed(self, content: bytes, received: bool) -> None:
        """Add the next part of the body. `received` says whether it is the last part."""
        self._content += content
        self._received = received
        self.expects_continue = False
        if len(self._content) >= (MAX_BUFFERED_BODY if self._hold else FREE):
            self._connection.pause_reading()
        if received and self._hold is not None:
            self._hold.settle(self._hold.size)
        self._wake()

    def disconnect(self, error: APIError | None = None) -> None:
        """Tell the application that the client has disconnected, or why it was refused."""
        self.disconnected = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    async def receive(self) -> Message:
        """Return the next part of the body, or wait for the end of the exchange."""
        if self.expects_continue and not (self.started or self.disconnected or self._error):
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.expects_continue = False
        if not self._received and self._hold is None and not (self.complete or self.disconnected):
            await self._reserve()
        while not self._has_news():
            if not self._received:
                self._connection.resume_reading()
            self._event = self._event or asyncio.Event()
            self._event.clear()
            await self._event.wait()
        if self._error is not None and not self.complete:
            raise self._error
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        self._delivered = self._received
        self._taken += len(self._content)
        body, self._content = bytes(self._content), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self._received}

    def take_body(self, limit: int) -> bytes | None:
        """Return the body if it has arrived completely and is not longer than `limit`.

        For a body that arrived with its head, this replaces calls of `receive`.
        """
        is_new = self._received and not self._delivered and not self._taken
        if not is_new or self._error is not None or self.disconnected or self.complete:
            return None
        if len(self._content) > limit:
            return None
        self._delivered = True
        self._taken = len(self._content)
        body, self._content = bytes(self._content), bytearray()
        return body

    async def _reserve(self) -> None:
        """Wait for the memory of the body, unless it is small.

        Raises Overloaded or TooManyRequests if there is no memory in time.
        """
        assert self._body is not None
        expected = self._taken + len(self._content) + self._body.missing
        if expected <= FREE:  # for a chunked body: so far
            return
        is_sized = isinstance(self._body, SizedBody)
        size = min(expected, MAX_BUFFERED_BODY) if is_sized else MAX_BUFFERED_BODY
        try:
            hold = await self._connection.memory.acquire(self._user(), size)
        except APIError:
            self.keep_alive = False  # otherwise the connection would wait for the rest of the body
            raise
        if self.complete or self.disconnected or self._hold is not None:
            hold.release()  # meanwhile the response has ended, or is one that streams
            return
        self._hold = hold
        self._connection.reserved = True
        if not self._received:
            self._hold.watch(self._missing, self.cut_off)

    def _missing(self) -> int:
        """Return how many bytes of the body's memory are not in use yet."""
        assert self._hold is not None
        return self._hold.size - self._taken - len(self._content)

    def cut_off(self) -> None:
        """Refuse the request once the application needs more of its body, which is too slow."""
        self._error = RequestTimeout()
        self.keep_alive = False  # an exception handler may drop the headers of the error
        self._wake()

    def _has_news(self) -> bool:
        return (
            self.disconnected
            or self.complete
            or self._error is not None
            or bool(self._content)
            or self._received > self._delivered
        )

    async def send(self, message: Message) -> None:
        """Write a part of the response. Raises RuntimeError if the message is out of order."""
        if self._connection.writing_paused:
            await self._wait_for_reader()
        if self.disconnected:
            return
        if not self.started:
            if message["type"] != "http.response.start":
                raise RuntimeError("The response must begin with http.response.start.")
            self._start(message["status"], message.get("headers", ()))
        elif self.complete:
            raise RuntimeError("The response is already complete.")
        elif message["type"] != "http.response.body":
            raise RuntimeError("The response must go on with http.response.body.")
        else:
            content, more = message.get("body", b""), message.get("more_body", False)
            if len(content) > RESPONSE_PART:
                await self._continue_in_slices(content, more)
            else:
                self._continue(content, more)

    def send_whole(self, status: int, headers: list[RawHeader], body: bytes) -> bool:
        """Write a response in one step, and return True, unless `send` might have to wait."""
        if self._connection.writing_paused or self.disconnected or self.started:
            return False
        if len(body) > RESPONSE_PART:
            return False
        self._start(status, headers)
        self._continue(body, more=False)
        return True

    def _start(self, status: int, headers: Iterable[RawHeader]) -> None:
        if self.expects_continue:
            # The client may still send the body, which would look like the next request.
            self.keep_alive = False
        if self._body is not None and self._body.missing > MAX_UNREAD_BODY:
            self.keep_alive = False
        default_headers = self._connection.default_headers
        self.keep_alive = self._response.start(status, headers, default_headers, self.keep_alive)
        self.started = True

    def _continue(self, content: bytes, more: bool) -> None:
        self._connection.write(self._response.body(content, more))
        if more and self._hold is None:
            self._hold = self._connection.memory.take(self._user(), STREAM)
        if not more:
            self.complete = True
            self._content.clear()  # the rest of the body may arrive much later
            self._release_memory()  # background tasks may run for much longer
            self._wake()
            self._connection.response_complete()

    async def _continue_in_slices(self, content: bytes, more: bool) -> None:
        """Write a large part of the body, each slice after the client has read the previous one.

        Many responses may share `content`. Only a slice of it is copied for each unread one.
        """
        self._response.check_length(len(content), more)  # before the client has all it expects
        last = (len(content) - 1) // SLICE * SLICE
        for start in range(0, last, SLICE):
            self._connection.write(self._response.body(content[start : start + SLICE], more=True))
            await self._connection.drain()
            if self.disconnected:
                return
        self._continue(content[last:], more)

    async def _wait_for_reader(self) -> None:
        """Wait until the client has read the last part and there is memory for the next one."""
        await self._connection.drain()
        if self.started and not self.disconnected:
            with suppress(Overloaded, TooManyRequests):  # an error would cut off the response
                await self._connection.memory.wait(self._user(), RESPONSE_PART)
