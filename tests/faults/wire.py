"""HTTP/1.1 by hand: a client that costs little, and whose every byte is its caller's."""

import asyncio
import json
from typing import Any, NamedTuple

from tests.support.serving import bearer

CLIENT_TIMEOUT = 15.0  # seconds; longer than the service may take over anything


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_honest(self) -> bool:
        """A success, or a 503 in the form and with the header that every one has."""
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
    """A whole request. A `body` of bytes stays as it is."""
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
    """The next answer, which must declare its length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(status_line.split(" ")[1]), headers, body)


class Connection:
    """One keep-alive connection after another to the same port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, text: bytes) -> Answer:
        """Raises OSError, EOFError or TimeoutError if there is no whole answer."""
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
