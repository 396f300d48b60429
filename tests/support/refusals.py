"""Send a request as bytes, and check the response of a server that refuses it."""

import re
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from middleware.security_headers import DEFAULTS
from tests.support.serving import ORIGIN

LINES = f"Origin: {ORIGIN}\r\nX-Request-ID: mine\r\nHost: tasks\r\n".encode()


def connected(base_url: str) -> socket.socket:
    where = urlsplit(base_url)
    return socket.create_connection((str(where.hostname), where.port or 80), timeout=5)


def answer(base_url: str, *segments: bytes, pause: float = 0, after: int = 0) -> httpx.Response:
    """Send the segments, with a pause after each. Return the last response.

    Check that `after` responses precede it, and that the service then closes the connection.
    """
    with connected(base_url) as client:
        received = b""
        with suppress(ConnectionError):
            for segment in segments:
                client.sendall(segment)
                time.sleep(pause)
            while part := client.recv(65536):
                received += part
    _, *responses = re.split(rb"HTTP/1\.1 (?=\d{3} )", received)
    assert len(responses) == after + 1, received
    return parsed(responses[-1])


def parsed(response: bytes) -> httpx.Response:
    """Return the response, with its body as sent. Check that no header is in it twice."""
    head, _, body = response.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = [(name, value) for name, value in (line.split(b": ", 1) for line in lines)]
    assert len({name for name, _ in fields}) == len(fields)
    return httpx.Response(int(status.split()[0]), headers=fields, content=body)


def assert_complete(response: httpx.Response) -> None:
    assert response.status_code >= 400
    assert response.json().keys() >= {"detail", "code"}
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-expose-headers" in response.headers
    assert "date" in response.headers
    assert ("retry-after" in response.headers) == (response.status_code in (429, 503))
    assert {name.decode() for name, _ in DEFAULTS} <= set(response.headers)
