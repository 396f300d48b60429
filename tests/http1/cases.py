"""The building blocks of the tables of cases."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

BEFORE, AFTER = "before", "after"  # the ids of the good requests around a case


class Summary(NamedTuple):
    """A response in short: the id of its request, its status, and what the service read.

    Without an id, the response refuses bytes that never became a request.
    """

    tag: str | None
    status: int
    echo: str = ""


class Outcome(NamedTuple):
    """The final responses to a stream, in order, and whether the connection closes afterwards."""

    responses: tuple[Summary, ...]
    closes: bool = False


class Case(NamedTuple):
    """A stream of bytes, and the outcomes that the RFCs allow."""

    name: str
    stream: bytes
    outcomes: tuple[Outcome, ...]


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def request(
    *lines: str | bytes,
    start: str | bytes = "POST /echo HTTP/1.1",
    body: bytes = b"",
    tag: str = "r1",
    host: str | None = "Host: tasks",
) -> bytes:
    """Return a request with these header lines and the id `tag`."""
    first = [] if host is None else [host]
    head = [start, *first, f"X-Request-ID: {tag}", *lines, "", ""]
    return b"\r\n".join(raw(line) for line in head) + body


def get(*lines: str | bytes, target: str = "/echo", tag: str = "r1") -> bytes:
    return request(*lines, start=f"GET {target} HTTP/1.1", tag=tag)


def sized(body: bytes, *lines: str | bytes, tag: str = "r1") -> bytes:
    """Return a POST with a Content-Length."""
    return request(*lines, f"Content-Length: {len(body)}", body=body, tag=tag)


def chunked(body: bytes, *lines: str | bytes, tag: str = "r1") -> bytes:
    """Return a POST with Transfer-Encoding: chunked. `body` must consist of chunks."""
    return request(*lines, "Transfer-Encoding: chunked", body=body, tag=tag)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"
SMUGGLED = get(target="/echo?smuggled", tag="smuggled")  # a body that looks like a request
BEFORE_IT = get(target=f"/echo?{BEFORE}", tag=BEFORE)
AFTER_IT = get("Connection: close", target=f"/echo?{AFTER}", tag=AFTER)


def echo(
    body: bytes = b"",
    method: str = "POST",
    target: str = "/echo",
    tag: str = "r1",
    status: int = 200,
) -> Summary:
    """Return the response to a request that the service read like this."""
    return Summary(tag, status, f"{method} {target} {body!r}")


def served(
    body: bytes = b"", method: str = "POST", target: str = "/echo", closes: bool = False
) -> tuple[Outcome, ...]:
    return (Outcome((echo(body, method, target),), closes),)


def responds(*statuses: int, closes: bool = False, tag: str = "r1") -> tuple[Outcome, ...]:
    """Return an outcome for each status that may be the response to the request `tag`."""
    return tuple(Outcome((Summary(tag, status),), closes) for status in statuses)


CLOSES = Outcome((), closes=True)  # without a response


def refused(*statuses: int) -> tuple[Outcome, ...]:
    """Return the outcomes of bytes that never become a request: an error, then a close."""
    return tuple(Outcome((Summary(None, status),), closes=True) for status in statuses)


def each(
    label: str,
    values: Iterable[str],
    stream: Callable[[str], bytes],
    outcomes: tuple[Outcome, ...],
) -> list[Case]:
    """Return a case for each value, all with the same outcomes."""
    return [Case(f"{label} {value[:40]!r}", stream(value), outcomes) for value in values]
