"""Responses with large bodies: they are written in slices, so that none is copied as a whole."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.engine import URL

from main import create_app
from memory import RESPONSE_PART
from routing.route import Route
from serving.connection import Connection
from serving.exchange import SLICE
from tests.support.services import NO_TLS, eventually, recorded_log
from tests.support.serving import make_settings, serving

LARGE = bytes(range(256)) * 4096  # 1 MiB
HEAD_SIZE = 2048  # bytes, more than the head of a response or the framing of a chunk
Writes = list[int]


async def large(size: int = len(LARGE)) -> Response:
    return Response(LARGE[:size])


async def fast(size: Annotated[int, Path()]) -> Response:
    return Response(LARGE[:size])


async def chunked() -> Response:
    return StreamingResponse(iter([LARGE, b"end"]))


async def mislabelled(length: int) -> Response:
    return Response(LARGE, headers={"Content-Length": str(length)})


async def budget(request: Request) -> dict[str, int]:
    return {"used": request.state.memory.used}


@pytest.fixture(scope="module")
def base_url(postgres: URL) -> Iterator[str]:
    """Yield the URL of a service whose kernel buffers are small, with routes of a developer."""
    app = create_app(make_settings(postgres))
    for endpoint in (large, chunked, mislabelled):
        app.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["GET", "HEAD"])
    app.add_api_route("/budget", budget)
    router = APIRouter(route_class=Route)
    router.add_api_route("/fast/{size}", fast)
    app.include_router(router)
    with serving(app, send_buffer=4096) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, verify=NO_TLS) as client:
        yield client


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Return a list of the sizes of what the service will write."""
    sizes: Writes = []
    write = Connection.write

    def measured(self: Connection, data: bytes) -> None:
        sizes.append(len(data))
        write(self, data)

    monkeypatch.setattr(Connection, "write", measured)
    return sizes


@contextmanager
def requesting(base_url: str, path: str) -> Iterator[socket.socket]:
    where = urlsplit(base_url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect((where.hostname, where.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: tasks\r\n\r\n".encode())
        yield connection


@pytest.mark.parametrize("path", ["/large?size=", "/fast/"])
@pytest.mark.parametrize(("size", "count"), [(RESPONSE_PART, 1), (RESPONSE_PART + 1, 9)])
def test_a_body_over_the_limit_is_written_in_slices(
    client: httpx.Client, writes: Writes, path: str, size: int, count: int
) -> None:
    assert client.get(f"{path}{size}").content == LARGE[:size]
    assert len(writes) == count
    assert count == 1 or max(writes) < SLICE + HEAD_SIZE


def test_a_large_part_of_a_streamed_body_is_written_in_slices(
    client: httpx.Client, writes: Writes
) -> None:
    response = client.get("/chunked")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.content == LARGE + b"end"
    assert max(writes) < SLICE + HEAD_SIZE


def test_the_connection_stays_open_after_a_large_body(client: httpx.Client) -> None:
    for method in ("GET", "HEAD", "GET", "HEAD"):
        response = client.request(method, "/large")
        assert response.headers["content-length"] == str(len(LARGE))
        assert response.content == (LARGE if method == "GET" else b"")
        assert "connection" not in response.headers


def test_only_a_slice_is_written_for_a_client_that_does_not_read(
    base_url: str, writes: Writes
) -> None:
    with requesting(base_url, "/large"):
        eventually(lambda: writes)
        time.sleep(0.3)
        assert sum(writes) < 4 * SLICE  # most of it is in the kernel's buffers


def test_a_client_that_reads_slowly_receives_every_byte(base_url: str, writes: Writes) -> None:
    received = b""
    with requesting(base_url, "/large") as connection:
        while len(received.partition(b"\r\n\r\n")[2]) < len(LARGE):
            received += connection.recv(8192)
            time.sleep(0.002)
    assert received.partition(b"\r\n\r\n")[2] == LARGE
    assert max(writes) < SLICE + HEAD_SIZE


def test_a_client_that_disconnects_in_the_middle_ends_the_response(
    base_url: str, client: httpx.Client, writes: Writes
) -> None:
    with recorded_log() as log:
        with requesting(base_url, "/large") as connection:
            assert connection.recv(4096)
            eventually(lambda: client.get("/budget").json()["used"])
        eventually(lambda: client.get("/budget").json()["used"] == 0)
    assert sum(writes) < len(LARGE) / 2
    assert not re.search("ERROR|WARNING", log.getvalue())


@pytest.mark.parametrize("length", [len(LARGE) - 1, len(LARGE) + 1, len(LARGE) - SLICE])
def test_a_body_of_another_length_than_declared_never_looks_complete(
    client: httpx.Client, length: int
) -> None:
    with pytest.raises(httpx.TransportError):
        client.get("/mislabelled", params={"length": length})
