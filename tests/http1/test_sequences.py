"""Clients that send more only after a part of the response has arrived."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.http1.cases import AFTER_IT, LAST, SMUGGLED, chunk, chunked, get, request, sized
from tests.http1.client import Client
from tests.http1.responses import Response, parse
from tests.http1.wire import Address, bytewise, exchange
from tests.support.serving import bearer

TOKEN = f"Authorization: {bearer('alice')['Authorization']}"
EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")
START = "POST /api/alice/tasks HTTP/1.1"
CHUNKS = "Transfer-Encoding: chunked"


@pytest.fixture
def client(address: Address) -> Iterator[Client]:
    client = Client(address)
    with client.socket:
        yield client


def ids(responses: list[Response]) -> list[str]:
    return [response.id for response in responses]


@pytest.mark.parametrize("lines", [(), UPGRADE], ids=["without an upgrade", "with an upgrade"])
@pytest.mark.parametrize("body", [sized, chunked])
@pytest.mark.parametrize("split", [bytewise, lambda data: [data]], ids=["bytes", "whole"])
def test_100_continue_comes_before_the_body_and_one_response_after_it(
    client: Client,
    body: Callable[..., bytes],
    split: Callable[[bytes], list[bytes]],
    lines: tuple[str, ...],
) -> None:
    content = SMUGGLED if body is sized else chunk(SMUGGLED) + LAST
    head = body(content, EXPECT, *lines)[: -len(content)]
    client.send(*split(head))
    assert client.read(len(CONTINUE)) == CONTINUE
    client.send(*split(content), AFTER_IT)
    first, last = client.rest()
    assert json.loads(first.body)["body"] == SMUGGLED.decode()
    assert (first.id, last.id, first.interim, last.interim) == ("r1", "after", 0, 0)


@pytest.mark.parametrize(
    ("lines", "status"),
    [((), 401), ((TOKEN, "Content-Length: 10000000"), 413)],
    ids=["anonymous", "too large"],
)
def test_a_refused_body_gets_no_100_continue(
    client: Client, lines: tuple[str, ...], status: int
) -> None:
    length = lines or (f"Content-Length: {len(SMUGGLED)}",)
    client.send(request(EXPECT, *length, start=START))
    response = client.read_one()
    assert (response.id, response.status, response.interim) == ("r1", status, 0)
    closes = response.header("connection") == "close"
    client.send(SMUGGLED, AFTER_IT)
    assert ids(client.rest()) == ([] if closes else ["after"])


MALFORMED_RESTS = {
    "size": b"x\r\n" + SMUGGLED,
    "0x5": b"0x5\r\nhello\r\n" + LAST + SMUGGLED,
    "huge size": b"ffffffffffffffffff\r\n" + SMUGGLED,
    "data": b"5\r\nhelloX\r\n" + LAST + SMUGGLED,
    "bare LF": b"5\nhello\n0\n\n" + SMUGGLED,
    "end": b"0\n\n" + SMUGGLED,
    "extension": b"5;" + b"x" * 70_000 + b"\r\nhello\r\n" + LAST,
    "trailers": b"0\r\n" + b"X: y\r\n" * 15_000 + b"\r\n",
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("rest", MALFORMED_RESTS.values(), ids=MALFORMED_RESTS)
@pytest.mark.parametrize(
    ("start", "status"),
    [("GET /health/live", 200), ("POST /nowhere", 404)],
)
def test_a_malformed_body_after_its_response_gets_no_second_response(
    client: Client, start: str, status: int, rest: bytes, split: bool
) -> None:
    client.send(request(CHUNKS, start=f"{start} HTTP/1.1"))
    assert client.read_one().status == status
    client.send(*(bytewise(rest) if split else [rest]))
    client.send(AFTER_IT)
    assert client.rest() == []


@pytest.mark.parametrize(
    "size", ["ffffffffffffffff", "8000000000000005", "7fffffffffffffff", "100000005", "ffffffff"]
)
def test_a_huge_chunk_is_not_read_as_a_small_one(address: Address, size: str) -> None:
    """The service may refuse it, or wait for the rest, which never comes in this stream."""
    stream = chunked(size.encode() + b"\r\nhello\r\n" + LAST + SMUGGLED) + AFTER_IT
    for received in exchange(address, [[stream], bytewise(stream)], waits=False):
        responses = parse(received.data)
        assert [response.status for response in responses] in ([], [400], [413])
        assert received.closed == bool(responses)


@pytest.mark.parametrize("count", [16, 17, 100])
def test_pipelined_requests_are_served_in_order(address: Address, count: int) -> None:
    """Up to 16 requests may wait behind one; others may be served later or not at all."""
    stream = b"".join(get(tag=f"r{number}") for number in range(count))
    [received] = exchange(address, [[stream + AFTER_IT]])
    served = ids(parse(received.data))
    assert served == [*(f"r{number}" for number in range(count)), "after"][: len(served)]
    assert len(served) >= min(count + 1, 17)
    assert received.closed
