"""The simulated network has the conditions that were set, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from config import ROOT
from tests.network.link import DATABASE_ADDRESS, Link
from tests.support.processes import until

MESSAGES = 100
HOLD = """
import sys
from tests.network.link import Link
with Link() as link:
    print(link.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ends(link: Link) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP socket on the service's side, and one on the database's. UDP does not retransmit."""
    with socket.socket(type=socket.SOCK_DGRAM) as near:
        with link.inside("database"):
            far = socket.socket(type=socket.SOCK_DGRAM)
            far.bind((DATABASE_ADDRESS, 0))
        with far:
            near.connect(far.getsockname())
            near.send(b"where I am")
            far.connect(far.recvfrom(100)[1])
            for end in (near, far):
                end.settimeout(0.3)
            link.set()
            yield near, far
    link.set()


def echo(ends: tuple[socket.socket, socket.socket]) -> float:
    """Send a message there and back, and return the time in milliseconds."""
    near, far = ends
    started_at = time.perf_counter()
    near.send(b"x")
    far.send(far.recv(100))
    near.recv(100)
    return (time.perf_counter() - started_at) * 1e3


def received(end: socket.socket) -> int:
    count = 0
    with suppress(TimeoutError):
        while end.recv(2000):
            count += 1
    return count


def send_all(end: socket.socket, size: int = 1) -> None:
    for _ in range(MESSAGES):
        end.send(b"x" * size)


@pytest.mark.parametrize("round_trip", [0, 5, 60])
def test_a_round_trip_takes_the_configured_time(
    link: Link, ends: tuple[socket.socket, socket.socket], round_trip: float
) -> None:
    link.set(round_trip=round_trip)
    times = sorted(echo(ends) for _ in range(10))
    assert times[0] >= round_trip
    assert times[5] < round_trip + 5


def test_jitter_delays_packets_but_keeps_their_order(
    link: Link, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    link.set(jitter=50)
    started_at = time.perf_counter()
    for number in range(50):
        near.send(bytes([number]))
    assert [far.recv(1)[0] for _ in range(50)] == list(range(50))
    assert 0.02 < time.perf_counter() - started_at < 0.2


@pytest.mark.parametrize("loss", [0, 20, 100])
def test_the_configured_share_of_packets_is_lost(
    link: Link, ends: tuple[socket.socket, socket.socket], loss: float
) -> None:
    near, far = ends
    link.set(loss=loss)
    send_all(near)
    assert abs(received(far) - MESSAGES * (1 - loss / 100)) < 20  # five standard deviations


def test_bandwidth_is_limited_and_a_full_queue_loses_packets(
    link: Link, ends: tuple[socket.socket, socket.socket]
) -> None:
    """100 packets of 1,028 bytes at 2 Mbit/s would take 0.4 s, and the queue holds 0.2 s."""
    near, far = ends
    link.set(bandwidth=2)
    send_all(near, 1000)
    assert 45 < received(far) < 65


@pytest.mark.parametrize(
    ("conditions", "there", "back"),
    [
        ({"reaches_database": False}, 0, MESSAGES),
        ({"reaches_service": False}, MESSAGES, 0),
        ({"reaches_database": False, "reaches_service": False}, 0, 0),
    ],
)
def test_a_black_hole_loses_every_packet_of_its_direction(
    link: Link,
    ends: tuple[socket.socket, socket.socket],
    conditions: dict[str, bool],
    there: int,
    back: int,
) -> None:
    near, far = ends
    link.set(**conditions)
    send_all(near)
    send_all(far)
    assert (received(far), received(near)) == (there, back)
    counts = link.set()
    assert counts.delivered == there + back
    assert counts.lost == 2 * MESSAGES - there - back
    assert echo(ends) < 50


def test_only_new_connections_work_after_the_network_forgot_the_old_ones(link: Link) -> None:
    with link.inside("database"):
        listener = socket.create_server((DATABASE_ADDRESS, 0))
    with ExitStack() as ends:
        ends.enter_context(listener)
        older = ends.enter_context(socket.create_connection(listener.getsockname()))
        accepted = ends.enter_context(listener.accept()[0])
        accepted.settimeout(0.5)
        link.set(forgets_connections=True)
        older.send(b"x")
        with pytest.raises(TimeoutError):
            accepted.recv(1)
        with socket.create_connection(listener.getsockname()) as newer, listener.accept()[0] as end:
            newer.send(b"y")
            assert end.recv(1) == b"y"
        link.set()
        accepted.settimeout(5)
        assert accepted.recv(1) == b"x"  # TCP sends the segment again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_network_ends_when_the_process_that_uses_it_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as user:  # fmt: skip
        assert user.stdout is not None
        relay = psutil.Process(int(user.stdout.readline()))
        os.killpg(user.pid, number)
    until(lambda: not relay.is_running(), "the relay to end", 5)
