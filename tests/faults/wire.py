"""A cheap HTTP/1.1 client that sends exactly the bytes it is given."""

import asyncio
import json
from typing import Any, NamedTuple

from tests.support.serving import bearer

CLIENT_TIMEOUT = 15.0  # seconds; longer than the service may take for any response


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_honest(self) -> bool:
        """Whether this is a success, or a 503 with our body and Retry-After."""
        if self.status < 300:
            return True
        codes = ("DATABASE_UNAVAILABLE", "OVERLOADED")
        return (
            self.status == 503
            and int(self.headers.get("retry-after", "0")) > 0
            and set(self.json) == {"detail", "code"}
            and self.json["code"] in codes
        )


def request(method: str, path: str, user_id: str | None = "alice", body: Any = None) -> bytes:
    """Return a whole request. A `body` of bytes is sent unchanged."""
    lines = [f"{method} {path} HTTP/1.1", "Host: tasks"]
    if user_id is not None:
        lines.append(f"Authorization: {bearer(user_id)['Authorization']}")
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    )
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answer(reader: asyncio.StreamReader) -> Answer:
    """Read the next response, which must have a Content-Length or no body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(status_line.split(" ")[1]), headers, body)


class Connection:
    """A keep-alive connection that reconnects when it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, text: bytes) -> Answer:
        """Send a request. Raise OSError, EOFError or TimeoutError if no whole response comes."""
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(text)
                got = await answer(reader)
        except BaseException:
            self.close()
            raise
        if got.headers.get("connection") == "close":
            self.close()
        return got

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
