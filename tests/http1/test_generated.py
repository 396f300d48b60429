"""Generated streams are read as h11 reads them, however they are split."""

from itertools import takewhile

import pytest

from tests.http1.cases import AFTER, Summary, echo
from tests.http1.generator import Stream, generate
from tests.http1.judge import check_form, summarize
from tests.http1.reference import Read, read
from tests.http1.responses import parse
from tests.http1.wire import Address, Received, exchange

SEEDS = 600
METHODS = ("GET", "POST", "PUT", "DELETE")
Exchanged = dict[int, tuple[Stream, list[Received]]]


@pytest.fixture(scope="module")
def exchanged(address: Address) -> Exchanged:
    """The data received for each seed: sent in one segment, and in several."""
    streams = [generate(seed) for seed in range(SEEDS)]
    whole = exchange(address, [[stream.data] for stream in streams], waits=False)
    split = exchange(address, [stream.segments for stream in streams], waits=False)
    pairs = zip(streams, whole, split, strict=True)
    return {seed: (stream, list(both)) for seed, (stream, *both) in enumerate(pairs)}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_stream_is_read_as_h11_reads_it(seed: int, exchanged: Exchanged) -> None:
    stream, both = exchanged[seed]
    for received in both:
        compare(stream, received)


def compare(stream: Stream, received: Received) -> None:
    """Check that exactly the requests that h11 reads have a response."""
    responses = parse(received.data)
    for response in responses:
        check_form(response)
    seen = [summarize(response) for response in responses]
    reading = read(stream.data)
    served = list(takewhile(is_response, zip(seen, reading.requests, strict=False)))
    rest, unserved = seen[len(served) :], reading.requests[len(served) :]
    if rest and (unserved or not reading.in_trailers):
        [refusal] = rest
        assert refusal.status != 200, (seen, "instead of", reading)
        assert received.closed
        assert responses[-1].header("connection") == "close"
    if served and served[-1][1].method not in METHODS and received.closed:
        assert not rest  # the method was refused, and the connection closed
    elif unserved:
        assert rest, (seen, "instead of", reading)
        assert unserved[0].tag in stream.doubtful or unserved[0].method not in METHODS
    elif reading.is_malformed and not reading.in_trailers:
        assert rest, (seen, "without a refusal of the malformed rest of", reading)
    elif reading.closes:
        assert received.closed
        assert not rest


def is_response(pair: tuple[Summary, Read]) -> bool:
    """Return whether the response, which may refuse the method, belongs to this request."""
    summary, request = pair
    if request.method in METHODS:
        return summary == echo(request.body, request.method, request.target, request.tag)
    return summary.tag == request.tag and summary.status in (405, 501)


def test_the_generated_streams_are_varied_enough() -> None:
    readings = [read(generate(seed).data) for seed in range(SEEDS)]
    ended_well = [r for r in readings if r.requests and r.requests[-1].tag == AFTER]
    assert len(ended_well) > SEEDS / 4
    assert sum(reading.is_malformed for reading in readings) > SEEDS / 10
    assert not all(reading.closes or reading.is_malformed for reading in readings)
