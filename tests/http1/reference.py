"""h11 as the reference: the requests that a strict parser finds in a stream."""

import re
from typing import NamedTuple

import h11

ABSOLUTE = re.compile(r"(?i:https?)://[^/?#]*")


class MalformedTrailers(h11.RemoteProtocolError):
    """Raised when a body is complete but its trailers are not valid header lines."""


class Read(NamedTuple):
    """A request that was read completely."""

    tag: str
    method: str
    target: str
    body: bytes


class Reading(NamedTuple):
    requests: tuple[Read, ...]
    is_malformed: bool = False  # whether malformed bytes follow the requests
    in_trailers: bool = False  # whether those are in trailers, which a server may drop unread
    closes: bool = False  # whether the client asked to close the connection


def read(stream: bytes) -> Reading:
    """Read the requests in `stream`. Each gets a response as soon as it is complete."""
    requests: list[Read] = []
    try:
        while True:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
            # Unlike h11, a server should skip empty lines here (RFC 9112, section 2.2).
            connection.receive_data(stream.removeprefix(b"\r\n" * _empty_lines(stream)))
            if (request := _next_request(connection)) is None:
                return Reading(tuple(requests))
            requests.append(request)
            _respond(connection)
            if connection.our_state is not h11.DONE:
                return Reading(tuple(requests), closes=True)
            stream, _ = connection.trailing_data
    except h11.RemoteProtocolError as error:
        in_trailers = isinstance(error, MalformedTrailers)
        return Reading(tuple(requests), is_malformed=True, in_trailers=in_trailers)


def _empty_lines(stream: bytes) -> int:
    count = 0
    while stream.startswith(b"\r\n", 2 * count):
        count += 1
    return count


def _next_request(connection: h11.Connection) -> Read | None:
    request, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if request is None or "chunk" in str(error):
                raise
            raise MalformedTrailers(str(error)) from None
        match event:
            case h11.Request():
                request = event
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                assert request is not None
                return _summarize(request, body)
            case _:
                return None


def _summarize(request: h11.Request, body: bytes) -> Read:
    tag = dict(request.headers).get(b"x-request-id", b"").decode("latin-1")
    return Read(tag, request.method.decode(), path_of(request.target.decode("latin-1")), body)


def path_of(target: str) -> str:
    """Return a target as the service sees it: without scheme and host, and without a fragment."""
    path = ABSOLUTE.sub("", target).partition("#")[0]
    return path if path.startswith(("/", "*")) or target == path else f"/{path}"


def _respond(connection: h11.Connection) -> None:
    # With a 404, a CONNECT opens no tunnel.
    connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
