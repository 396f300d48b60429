"""A connection in memory: the protocol class with a transport and an application that echoes."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from serving.protocol import Protocol

DETAIL = re.compile(rb"\{.*\}")
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


@dataclass
class Request:
    """A request as an application or another parser sees it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False


class MemoryTransport(asyncio.Transport):
    """A transport that records what the protocol writes, and whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = self.ended = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        assert not self.ended, "written after the end"
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Connection:
    """One connection. `requests` is what the application saw, in order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.transport = MemoryTransport()
        self._state = ServerState()
        config = Config(
            self._echo,
            http=Protocol,  # type: ignore[arg-type]  # a BufferedProtocol, not a Protocol
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        self._protocol = Protocol(config, self._state, {}, asyncio.get_running_loop())

    @property
    def over(self) -> bool:
        """Whether the service has ended its side of the connection."""
        return self.transport.closed or self.transport.ended

    @property
    def statuses(self) -> list[int]:
        """The status of each final response."""
        found = map(int, STATUS.findall(b"".join(self.transport.written)))
        return [status for status in found if status >= 200]

    @property
    def refusals(self) -> list[bytes]:
        """What is wrong, from the body of each refusal. The application's bodies have no braces."""
        return DETAIL.findall(b"".join(self.transport.written))

    async def send(self, segments: Sequence[bytes]) -> None:
        """Pass the segments to the protocol while the connection is open, then disconnect."""
        self._protocol.connection_made(self.transport)
        for segment in segments:
            if self.transport.closed:
                break
            self._protocol.data_received(segment)
            if self._state.tasks:
                await self._settle()
            assert not self.transport.paused or self.over, "reading stays paused"
        await self._settle()
        self._protocol.connection_lost(None)
        await self._settle()
        assert not self._state.connections
        assert not self._state.tasks, "an exchange did not end with its connection"

    async def _settle(self) -> None:
        """Run the application until it makes no further progress."""
        before: object = None
        for _ in range(100_000):
            now = (len(self.transport.written), len(self.requests), len(self._state.tasks))
            if now == before:
                return
            before = now
            for _ in range(4):
                await asyncio.sleep(0)
        raise AssertionError("the application does not stop making progress")

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        request = Request(scope["method"].encode(), target, list(scope["headers"]))
        self.requests.append(request)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            request.body += message["body"]
            if not message["more_body"]:
                break
        request.complete = True
        length = b"%d" % len(request.body)
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # Only the length matters. An echo could contain a status line, which would be counted.
        await send({"type": "http.response.body", "body": b"x" * len(request.body)})
