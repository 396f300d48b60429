"""One connection of a client, from its first byte to its last.

uvicorn's server creates one Protocol for each connection (its option `http`). This class replaces
uvicorn's own, which has no time limit for an incomplete request or for a client that does not read
(https://github.com/Kludex/uvicorn/issues/157), and which can take a part of one request for another
(docs/decisions/003-http-protocol.md). Every limit on what a client may send is in this module,
buffer.py, head.py or body.py. connection.py has the base class.
"""

import asyncio
import select
import socket
from itertools import chain
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from addresses import unmapped
from errors import APIError, RequestTimeout
from middleware.security_headers import RawHeader
from observability.logs import logger, request_context
from serving.body import Body, MalformedBody
from serving.buffer import MAX_HEAD, RequestBuffer
from serving.connection import Connection
from serving.exchange import MAX_UNREAD_BODY, Exchange
from serving.head import Head
from serving.headers import malformed
from serving.memory_budget import FREE, Hold, MemoryBudget
from serving.refusal import refusal, scope_of

# Longer than the time limit of a body (routing/body.py), so that its response is sent first.
REQUEST_TIMEOUT = 15.0  # seconds from a connection, or a request's first byte, to its last
READER_TIMEOUT = 20_000  # milliseconds that a client may pause while it reads a response
LINGER_TIME = 2.0  # seconds
SMALL_HEAD = 4 * 1024  # bytes of a complete head that need no reservation
# Bytes of later requests in the buffer at which reading pauses during an exchange. The last read
# may add up to FREE bytes.
PIPELINED = 512
RETRY_AFTER = 1.0  # seconds, as in the response OVERLOADED


class Protocol(Connection):
    """A connection to the application that uvicorn was given (serving/server.py).

    Pipelined requests wait in the buffer, because there is one exchange at a time.
    """

    __slots__ = (
        "_app_state",
        "_body",
        "_buffer",
        "_client",
        "_config",
        "_exchange",
        "_head_memory",
        "_lingering",
        "_memory_task",
        "_receiving",
        "_scheme",
        "_server",
        "_server_state",
        "_unread",
        "closing",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # An application other than main.py's has no budget, so each connection gets its own.
        memory = app_state.get("memory") or MemoryBudget()
        super().__init__(_loop or asyncio.get_running_loop(), memory)
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._buffer = RequestBuffer()
        self._head_memory: Hold | None = None  # the memory of a large head that is arriving
        self._memory_task: asyncio.Task[None] | None = None  # waits for that memory
        self._exchange: Exchange | None = None  # until request and response are complete
        self._body: Body | None = None  # of the request that is arriving
        self._unread = 0  # bytes of the body that arrived after the response
        self._receiving = True  # whether a request is arriving, or must begin before the deadline
        self._lingering = False
        self.closing = False  # whether the next response is the last one

    # The methods that the server and the transport call.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._server = get_local_addr(transport)
        self._client = unmapped(get_remote_addr(transport))
        self._scheme = "https" if is_ssl(transport) else "http"
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._set_deadline(REQUEST_TIMEOUT)
        if hasattr(socket, "TCP_USER_TIMEOUT") and self._client:  # Linux
            # Let the kernel end the connection, even after this side of it was closed.
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READER_TIMEOUT
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        super().connection_lost(exc)
        self._release_head_memory()
        if self._exchange is not None:
            self._exchange.disconnect()
            self._exchange = None

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._drop(len(data))
            return
        if self._body is not None:
            data = self._receive_body(self._body, data)
        if data:
            self._buffer.append(data)
            self._proceed()

    def announce_close(self) -> None:
        """Let the next response announce that the connection will close (RFC 9112, section 9.6).

        Without the announcement, a request that the client sends meanwhile would be lost.
        """
        self.closing = True
        if self._held:
            self._release()
        if self._exchange is not None and not self._exchange.started:
            self._make_last(self._exchange)

    def _make_last(self, exchange: Exchange) -> None:
        if not self._buffer:  # pipelined requests are served first
            exchange.keep_alive = False

    def resume_reading(self) -> None:
        # If enough pipelined requests are in the buffer, the others wait in the kernel.
        if self._reading_paused and (len(self._buffer) < self._enough or self.reserved):
            super().resume_reading()

    @property
    def _enough(self) -> int:
        """How many bytes in the buffer pause reading."""
        return FREE if self._exchange is None else PIPELINED

    def resume_writing(self) -> None:
        super().resume_writing()
        # The client has read the last response, so there is memory for the next one.
        if self._exchange is None and self._buffer and not self._transport.is_closing():
            self.resume_reading()
            self._proceed()

    def shutdown(self) -> None:
        """Close the connection, after a request that is arriving or being served."""
        self.announce_close()
        if self._exchange is None and not self._buffer and not self._lingering:
            self._close_idle()

    def _close_idle(self) -> None:
        """Close the connection, unless an unread request in the socket would be lost."""
        waits = select.poll()
        waits.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        if self._reading_paused or not waits.poll(0):
            self._transport.close()

    # The requests.

    def _proceed(self) -> None:
        """Start the next request if the last one is complete and the next head has arrived."""
        if self._exchange is not None or self._held or self.writing_paused:
            self._bound_buffer()
            return
        try:
            head = self._buffer.take_head()
        except APIError as error:
            self.refuse(error)
            return
        if head is None:
            self._expect_more()
            self.resume_reading()
            if len(self._buffer) >= FREE and self._head_memory is None:
                self._reserve_head()
        else:
            self._start(head)

    def _bound_buffer(self) -> None:
        if len(self._buffer) >= self._enough:
            self.pause_reading()

    def _reserve_head(self) -> None:
        """Stop reading until there is memory for the rest of a large head.

        The token has not been read yet, so the client's address stands for the user.
        """
        if self._memory_task is None:
            address = self._client[0] if self._client else ""
            if self.memory.has_room(address, MAX_HEAD):
                self._read_head(self.memory.take(address, MAX_HEAD))
                return
            self._memory_task = self._loop.create_task(self._wait_for_memory(address))
        self.pause_reading()

    async def _wait_for_memory(self, address: str) -> None:
        try:
            hold = await self.memory.acquire(address, MAX_HEAD)
        except APIError as error:
            self._memory_task = None
            self.refuse(error)
        else:
            self._memory_task = None
            self._read_head(hold)

    def _read_head(self, hold: Hold) -> None:
        self._head_memory, self.reserved = hold, True
        self.resume_reading()
        hold.watch(lambda: MAX_HEAD - len(self._buffer), lambda: self.refuse(RequestTimeout()))

    def _release_head_memory(self) -> None:
        if self._memory_task is not None:
            self._memory_task.cancel()
        if self._head_memory is not None:
            self._head_memory.release()
            self._head_memory = None

    def _start(self, head: Head) -> None:
        self._exchange = exchange = Exchange(self, self._scope(head), head)
        if self._head_memory is not None:
            exchange.head_memory, self._head_memory = self._head_memory, None
            self.reserved = False
            size = sum(map(len, chain(*head.headers)), len(head.path) + len(head.query))
            exchange.head_memory.settle(size if size > SMALL_HEAD else 0)
        task = self._loop.create_task(exchange.run(self._config.loaded_app))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)
        self._unread = 0
        self._body = head.body
        if self._body is None:
            self._request_received()
            self._bound_buffer()
        elif self._buffer:
            arrived = self._buffer.take_all()
            self.resume_reading()  # for the rest of the body
            self._buffer.append(self._receive_body(self._body, arrived))
            self._bound_buffer()
        else:
            self._expect_more()
        if self.closing:
            self._make_last(exchange)

    def _scope(self, head: Head) -> Scope:
        root_path = self._config.root_path
        path = head.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": head.method,
            "root_path": root_path,
            "path": root_path + (unquote(path) if "%" in path else path),
            "raw_path": root_path.encode("ascii") + head.path,
            "query_string": head.query,
            "headers": head.headers,
            "state": self._app_state.copy(),
        }

    def _receive_body(self, body: Body, data: bytes) -> bytes:
        """Pass the content in `data` on, and return the bytes after the end of the body."""
        assert self._exchange is not None
        try:
            content, rest = body.feed(data)
        except MalformedBody as error:
            self._give_up_body(error)
            return b""
        if not self._exchange.complete:
            self._exchange.feed(content, body.complete)
        self._unread = self._unread + len(content) if self._exchange.complete else 0
        if self._unread > MAX_UNREAD_BODY:
            self._transport.close()
            return b""
        if body.complete:
            self._body = None
            self._request_received()
            if self._exchange.complete:
                self._exchange_complete()
        else:
            self._expect_more()
        return rest

    def _give_up_body(self, error: MalformedBody) -> None:
        """Refuse the request, or close the connection after its response if that has begun."""
        assert self._exchange is not None
        if not self._exchange.started:
            self.refuse(malformed(str(error)))
        elif self._exchange.complete:
            self._linger()
        else:
            self._exchange.keep_alive = False
            self.pause_reading()

    def _request_received(self) -> None:
        self._receiving = False
        self._clear_deadline()

    def response_complete(self) -> None:
        """Start the next request, or close the connection."""
        assert self._exchange is not None
        self._server_state.total_requests += 1
        if not self._exchange.keep_alive:
            if self._body is not None or self._buffer or self.closing:
                self._linger()
            else:
                self._transport.close()
            return
        self.resume_reading()
        if self._body is None:
            self._exchange_complete()

    def _exchange_complete(self) -> None:
        assert self._exchange is not None
        scope, self._exchange = self._exchange.scope, None
        self._set_deadline(self._config.timeout_keep_alive)
        # A proxy's connection carries requests of many clients, so hold only a client's own
        # connection.
        if "overloaded" in scope["state"] and scope["client"] is self._client:
            self._hold()
        elif self._buffer:
            self._proceed()

    def _hold(self) -> None:
        """Stop reading for RETRY_AFTER from a client that received OVERLOADED.

        A thousand clients that retry immediately would leave no time for other requests.
        """
        self._held = True
        self.pause_reading()
        self._loop.call_later(RETRY_AFTER, self._release)

    def _release(self) -> None:
        self._held = False
        self.resume_reading()
        if self._buffer and not self._transport.is_closing():
            self._proceed()

    def _expect_more(self) -> None:
        """Allow a request REQUEST_TIMEOUT from its first byte to its last."""
        if not self._receiving:
            self._receiving = True
            self._set_deadline(REQUEST_TIMEOUT)

    def _expire(self) -> None:
        if self._receiving and self._exchange is None and self._buffer and not self._lingering:
            self.refuse(RequestTimeout())
        elif self._receiving and self._exchange is not None and not self._exchange.complete:
            self._expire_body(self._exchange)
        elif self._receiving or self._lingering:
            self._transport.close()
        else:
            self._close_idle()

    def _expire_body(self, exchange: Exchange) -> None:
        """Let the application respond with a 408, or close the connection if it has responded."""
        if not exchange.started and (self._reading_paused or exchange.expects_continue):
            self._set_deadline(REQUEST_TIMEOUT)  # the application is slow, not the client
            return
        logger.info("the body did not arrive in time", extra=request_context(exchange.scope))
        if exchange.started:
            self._transport.close()
        else:
            exchange.cut_off()

    # The response, and the end of the connection.

    def user(self) -> str:
        user: str = self._exchange.scope.get("user_id", "") if self._exchange else ""
        return user

    @property
    def default_headers(self) -> list[RawHeader]:
        """The headers that the server adds to every response."""
        return self._server_state.default_headers

    def refuse(self, error: APIError) -> None:
        """Send `error` instead of calling the application, and close the connection."""
        # After a head, the buffer has the client's body or later requests.
        scope = self._exchange.scope if self._exchange else scope_of(self._buffer.peek())
        cors_headers = self._app_state.get("cors_headers")
        self.write(refusal(error, scope, self.default_headers, cors_headers))
        if self._exchange is not None:
            self._exchange.disconnect(error)
            self._exchange = None
        self._linger()

    def _linger(self) -> None:
        """Close this side of the connection, and read what the client is still sending.

        If a connection is closed with unread bytes, it is reset, and the client may never see the
        response (RFC 9112, section 9.6).
        """
        if self._transport.is_closing():
            return
        self._lingering = True
        self.reserved = False
        self._release_head_memory()
        self._unread = 0
        self._buffer.take_all()
        self._held = False
        if self._transport.can_write_eof():  # not over TLS
            self._transport.write_eof()
        self.resume_reading()
        self._set_deadline(LINGER_TIME)

    def _drop(self, size: int) -> None:
        self._unread += size
        if self._unread > MAX_UNREAD_BODY:
            self._transport.close()
