"""The service frees the memory of a connection as soon as the client resets it."""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import URL

from tests.http1.wire import Address, connect
from tests.support.processes import Service, started, until

pytestmark = pytest.mark.slow

AT_ONCE, WAVES = 100, 20  # connections; together 2,000
WARM_UP = 10  # waves
LIMIT = 4e6  # bytes; 2,000 leaked connections take some 15 MB
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"
STAGES = {
    "after a response": (REQUEST, b"}"),
    "while a request arrives": (b"GET /health/live HTTP/1.1\r\nHost: ta", b""),
    "before anything": (b"", b""),
    "while a body arrives": (REQUEST[:-2] + b"Content-Length: 10\r\n\r\n12345", b"}"),
}


@pytest.fixture(scope="module")
def service(database_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "database_url": database_url.render_as_string(hide_password=False),
        "environment": "production",
        "host": "127.0.0.1",
    }
    with started(tmp_path_factory.mktemp("data"), **settings) as service:
        yield service.starts()


def open_files(service: Service) -> int:
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def settled_files(service: Service) -> int:
    """Wait until the service has connected to its database, and return how many files are open."""
    files, before = open_files(service), -1
    while files != before:
        time.sleep(0.5)
        files, before = open_files(service), files
    return files


def memory(service: Service) -> int:
    return int(psutil.Process(service.process.pid).memory_info().rss)


def wave(service: Service, sent: bytes, until_it_ends_with: bytes) -> None:
    """Open connections, send and receive something on each, and reset them all."""
    connections = [connect(Address("127.0.0.1", service.port)) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.sendall(sent)
    for connection in connections:
        received = b""
        while not received.endswith(until_it_ends_with):
            received += connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()


@pytest.mark.parametrize(("sent", "received"), STAGES.values(), ids=STAGES)
def test_reset_connections_free_their_memory(
    service: Service, sent: bytes, received: bytes
) -> None:
    files = settled_files(service)
    for _ in range(WARM_UP):
        wave(service, sent, received)
    until(lambda: open_files(service) <= files, "the connections to be closed", 10)
    before = memory(service)
    for _ in range(WAVES):
        wave(service, sent, received)
    until(lambda: open_files(service) <= files, "the connections to be closed", 10)
    assert memory(service) - before < LIMIT
