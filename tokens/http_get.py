"""One GET request, with limits on its time and size.

It uses httptools, uvicorn's parser, on an asyncio stream, which can be cancelled. httpx would take
4 MB of memory for the one URL that this service requests. The timeout of urllib applies to each
read only, so a server that sends one byte at a time could block a thread, and with it the shutdown
of the service, without limit.
"""

import asyncio
import ssl
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from addresses import look_up


class FetchError(Exception):
    """There was no usable response. The text says why, in our own words."""


class _Answer:
    """The parts of a response that httptools reports."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False
        self.parser = HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = self.parser.get_status_code() >= 200  # RFC 9110, section 15.2


async def get(url: str, context: ssl.SSLContext | None, seconds: float, max_size: int) -> bytes:
    """Return the body of the 200 response to a GET of `url`. Redirects are not followed.

    `context` is the TLS context for https URLs. `seconds` limits the whole request. `max_size` is
    in bytes and includes the headers. Raises FetchError.
    """
    try:
        async with asyncio.timeout(seconds):
            answer = await _ask(url, context, max_size)
    except TimeoutError:
        raise FetchError(f"no response within {seconds:g} s") from None
    except (OSError, HttpParserError, HttpParserUpgrade) as error:
        raise FetchError(type(error).__name__) from error
    status = answer.parser.get_status_code()
    if status != 200:
        raise FetchError(f"the response is {status}" if status else "the response is empty")
    return answer.body


async def _ask(url: str, context: ssl.SSLContext | None, max_size: int) -> _Answer:
    parts = urlsplit(url)
    tls = context if parts.scheme == "https" else None
    port = parts.port or (80 if tls is None else 443)
    reader, writer = await _connect(parts.hostname or "", port, tls)
    try:
        writer.write(
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Accept: application/json\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        answer, size = _Answer(), 0
        while not answer.complete and (data := await reader.read(65536)):
            size += len(data)
            if size > max_size:
                raise FetchError(f"the response is larger than {max_size} bytes")
            answer.parser.feed_data(data)
        return answer
    finally:
        writer.transport.abort()  # not close(), which waits for the peer to close


async def _connect(
    host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address of `host` that accepts a connection."""
    failure: Exception = FetchError("the host has no address")
    for address in await look_up(host):
        try:
            name = host if tls else None
            return await asyncio.open_connection(address, port, ssl=tls, server_hostname=name)
        except ssl.SSLError:
            raise
        except OSError as error:  # another address may still work
            failure = error
    raise failure
