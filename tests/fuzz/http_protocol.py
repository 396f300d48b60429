"""The fuzzer's harness for the HTTP protocol class (RFC 9112).

These invariants hold for any bytes that a client sends, however they are split into segments:

- each request gets one response, and there is at most one refusal, after which nothing is served;
- the segments make no difference;
- the application sees the same requests as h11 does in the same bytes, up to the first bytes that
  the service refuses and h11 allows (a bare LF as a line end, folded lines, two equal lengths ...).
"""

import asyncio
import atexit
import random
import re
from itertools import pairwise

import h11

from tests.fuzz.wire import Connection, Request

MAX_SIZE = 64 * 1024
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)
# Errors of h11 about requests that the RFCs allow: after an empty line (RFC 9112, section 2.2), and
# with a version above 1.1 (RFC 9110, section 2.5).
STRICTER = ("no request line received", "illegal request line")
FRAMING_HEADER = re.compile("Content-Length|Transfer-Encoding")
SPACE_BEFORE_EXTENSION = re.compile(rb"[0-9A-Fa-f][ \t]+;")  # RFC 9112, section 7.1.1


def check(data: bytes) -> None:
    """Raise AssertionError if `data` breaks an invariant."""
    LOOP.run_until_complete(_check(data))


async def _check(data: bytes) -> None:
    whole = await _served([data])
    for segments in _segmentations(data):
        split = await _served(segments)
        assert _summary(split) == _summary(whole), "segments make a difference"
    _check_responses(whole)
    _check_against_h11(whole, data)


async def _served(segments: list[bytes]) -> Connection:
    connection = Connection()
    await connection.send(segments)
    return connection


def _segmentations(data: bytes) -> list[list[bytes]]:
    """Return three ways to split `data`, the same each time. Split short data byte by byte too."""
    dice = random.Random(data)
    found = [[data[i : i + 1] for i in range(len(data))]] if len(data) <= 600 else []
    for _ in range(3):
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6)))
        edges = [0, *cuts, len(data)]
        found.append([data[a:b] for a, b in pairwise(edges) if a < b])
    return found


def _summary(connection: Connection) -> object:
    requests = [
        (request.method, request.target, request.headers, request.body)
        for request in connection.requests
        if request.complete
    ]
    return requests, connection.statuses, connection.refusals, connection.over


def _check_responses(connection: Connection) -> None:
    served = sum(request.complete for request in connection.requests)
    statuses = connection.statuses
    assert statuses[:served] == [200] * served, "a request did not get exactly one response"
    refusals = statuses[served:]
    assert len(refusals) <= 1, "more than one refusal"
    assert not refusals or (refusals[0] >= 400 and connection.over), (
        "the connection stays open after a refusal"
    )


def _check_against_h11(connection: Connection, data: bytes) -> None:
    expected, comparable = _requests_of_h11(data)
    for ours, theirs in zip(connection.requests, expected, strict=False):
        if not ours.complete:
            break
        assert theirs.complete or not comparable, (
            "served a request that h11 has not read completely"
        )
        assert (ours.method, ours.target) == (theirs.method, _origin_form(theirs.target))
        assert ours.body == theirs.body or not theirs.complete
    served = [request for request in connection.requests if request.complete]
    if comparable:
        assert len(served) <= len(expected), "served bytes that h11 does not read as a request"


def _origin_form(target: bytes) -> bytes:
    """Return `target` as the application sees it: without scheme, host and an empty query."""
    if not target.startswith((b"/", b"*")):
        rest = target.partition(b"://")[2]
        ends = [i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0]
        rest = rest[min(ends) :] if ends else b""
        target = rest if rest.startswith(b"/") else b"/" + rest
    return target.removesuffix(b"?") if target.count(b"?") == 1 else target


def _requests_of_h11(data: bytes) -> tuple[list[Request], bool]:
    """Return the requests that h11 reads, and whether the service may serve only these."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_SIZE)
    connection.receive_data(data)
    requests: list[Request] = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                requests.append(Request(event.method, event.target))
            elif isinstance(event, h11.Data):
                requests[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests[-1].complete = True
                if not _respond(connection):
                    return requests, True
            else:  # NEED_DATA, PAUSED or ConnectionClosed
                return requests, True
    except h11.RemoteProtocolError as error:
        if requests and not requests[-1].complete and FRAMING_HEADER.search(str(error)):
            requests[-1].complete = True  # the error is about a trailer, which the service drops
            return requests, False
        if "illegal chunk header" in str(error) and SPACE_BEFORE_EXTENSION.search(data):
            return requests, False
        return requests, not any(reason in str(error) for reason in STRICTER)


def _respond(connection: h11.Connection) -> bool:
    """Respond to the request, and return whether another may follow."""
    connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True
