"""HTTP as uvicorn speaks it, with an end to its patience.

By itself it waits for ever for a request that was begun, and for a client to take its answer
(https://github.com/Kludex/uvicorn/issues/157); and it takes heads, and bodies that nobody reads,
however large.
"""

import asyncio
import json
import socket

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from errors import APIError, HeadersTooLarge, InvalidInput, RequestTimeout
from middleware.cors import CORSMiddleware
from middleware.errors import LINGER_SIZE
from middleware.headers import DEFAULTS
from middleware.request_id import new_id, request_id
from schemas import FieldError

# Longer than a body may take (routes/route.py), so that its own answer comes first.
REQUEST_TIMEOUT = 15.0  # seconds from a connection, or a request's first byte, to its last
ANSWER_TIMEOUT = 20_000  # milliseconds without a byte of an answer taken
MAX_HEAD = 64 * 1024  # bytes, give or take what comes at once
MAX_PIPELINE = 16  # requests that were sent before the one ahead of them was answered
RETRY_AFTER = 1.0  # seconds, as the answer OVERLOADED says


class Protocol(HttpToolsProtocol):
    """One connection to the application object that uvicorn was given (server.py)."""

    # With more than 30 attributes in its dictionary a connection would be a kilobyte larger.
    __slots__ = ("_deadline", "_head", "_receiving", "_unread")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receiving = True
        self._head = 0  # bytes of a head that is not complete
        self._unread = 0  # bytes of a body after its answer
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(
            REQUEST_TIMEOUT, self._give_up
        )
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere a proxy must see to it
            # The kernel then ends the connection, also after we have closed our side of it.
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, ANSWER_TIMEOUT
            )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._received()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._receiving and self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT, self._give_up)
        self._head = self._head + len(data) if self._is_at_a_head() else 0
        if self._head > MAX_HEAD and not self.transport.is_closing():
            if self._is_answering():
                self._end_after_the_answer()
            else:
                self._refuse(HeadersTooLarge())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = True
        self._unread = 0
        if len(self.pipeline) >= MAX_PIPELINE:
            raise ValueError("more requests than anybody asks ahead of the answers")

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > LINGER_SIZE:
                self.transport.close()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._received()

    def on_response_complete(self) -> None:
        """Who was told to come back later is not listened to until then.

        A thousand clients who ask again at once would leave no time for those who are served. A
        proxy's connection is not one client's: others may be next on it.
        """
        super().on_response_complete()
        scope = self.cycle.scope
        if "overloaded" not in scope["state"] or self.transport.is_closing():
            return
        if all(name != b"x-forwarded-for" for name, _ in scope["headers"]):
            self.flow.pause_reading()
            self.loop.call_later(RETRY_AFTER, self._listen_again)

    def _listen_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP in the form of our errors."""
        if self._is_answering() and self._is_at_a_head():
            self._end_after_the_answer()
        else:
            self._refuse(InvalidInput(FieldError(field="request", message="must be HTTP/1.1")))

    def _end_after_the_answer(self) -> None:
        """It comes after a request that was good: that one's answer must not be taken for this."""
        self.cycle.keep_alive = False
        self.flow.pause_reading()

    def _received(self) -> None:
        self._receiving = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_at_a_head(self) -> bool:
        """Whether a request was begun that the application does not know of yet."""
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def _give_up(self) -> None:
        if self._is_at_a_head() and not self._is_answering():
            self._refuse(RequestTimeout())
        else:  # nothing was asked, or all that is missing is a body that nobody waits for
            self.transport.close()

    def _refuse(self, error: APIError) -> None:
        """Answers what never became a request, and hangs up."""
        body = json.dumps(error.body()).encode()
        origin = dict(self.headers or ()).get(b"origin", b"")  # if it came that far
        cors: CORSMiddleware = self.config.app.middleware_stack  # type: ignore[union-attr]
        known = request_id(self.scope) if self.scope else new_id()  # type: ignore[arg-type]
        headers = (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", known.encode()),
            *DEFAULTS,
            *cors.headers_for(origin.decode("latin-1")),
        )
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + body)
        self.transport.close()
