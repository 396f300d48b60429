"""A client that waits for a part of the response before it sends more."""

import time

from tests.http1.judge import check_form
from tests.http1.responses import Response, parse
from tests.http1.wire import TIMEOUT, Address, connect, receive, send


class Client:
    """A connection, and the actions of a client on it."""

    def __init__(self, address: Address) -> None:
        self.socket = connect(address)

    def close(self) -> None:
        self.socket.close()

    def send(self, *segments: bytes) -> None:
        for segment in segments:
            send(self.socket, segment)

    def read(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        data = b""
        while len(data) < length and (part := self.socket.recv(length - len(data))):
            data += part
        return data

    def read_one(self) -> Response:
        """Return the next response, which must have a length."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            part = self.read(1)
            assert part, f"the connection was closed after {data!r}"
            data += part
        length = int(data.lower().split(b"content-length: ")[1].split()[0])
        [response] = parse(data + self.read(length))
        return response

    def rest(self) -> list[Response]:
        """Return the responses until the service closes the connection, which it must do."""
        received = receive(self.socket, time.monotonic() + TIMEOUT)
        assert received.closed
        responses = parse(received.data)
        for response in responses:
            check_form(response)
        return responses
