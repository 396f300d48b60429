"""Streams composed from a seed are read as h11 reads them, however they are split."""

import pytest

from tests.http1.cases import AFTER, echo
from tests.http1.generator import Stream, generate
from tests.http1.judge import check_form, summarize
from tests.http1.reference import read
from tests.http1.responses import parse
from tests.http1.wire import Address, Received, exchange

SEEDS = 600
METHODS = ("GET", "POST", "PUT", "DELETE")
Exchanged = dict[int, tuple[Stream, list[Received]]]


@pytest.fixture(scope="module")
def exchanged(address: Address) -> Exchanged:
    """Return what came back for each seed: in one segment, and in several."""
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
    """Check that each request that h11 reads has its response, and nothing else has one."""
    responses = parse(received.data)
    for response in responses:
        check_form(response)
    seen = [summarize(response) for response in responses]
    reading = read(stream.data)
    expected = [echo(each.body, each.method, each.target, each.tag) for each in reading.requests]
    refusals = [summary for summary in seen if summary.status != 200]
    served = [summary for summary in seen if summary.status == 200]
    assert seen == served + refusals, seen
    assert len(refusals) <= 1, refusals
    assert served == expected[: len(served)], (served, "instead of", expected)
    if refusals:
        assert received.closed
        assert responses[-1].header("connection") == "close"
    if len(served) < len(expected):
        assert refusals, (served, "instead of", expected)
        refused = reading.requests[len(served)]
        assert refused.tag in stream.doubtful or refused.method not in METHODS, refused
    elif reading.is_malformed:
        assert refusals
    elif reading.closes:
        assert received.closed
        assert not refusals


def test_the_streams_reach_everything() -> None:
    readings = [read(generate(seed).data) for seed in range(SEEDS)]
    ended_well = [r for r in readings if r.requests and r.requests[-1].tag == AFTER]
    assert len(ended_well) > SEEDS / 4
    assert sum(reading.is_malformed for reading in readings) > SEEDS / 10
    assert sum(not reading.closes for reading in readings) > SEEDS / 100
