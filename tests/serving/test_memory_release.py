"""However a request ends, the memory that was reserved for it becomes free again."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import httpx
import pytest
from fastapi import BackgroundTasks, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.engine import URL

from main import create_app
from serving.memory_budget import Hold, MemoryBudget
from tests.support.refusals import connected
from tests.support.services import NO_TLS, eventually
from tests.support.serving import bearer, make_settings, serving

PATH = b"POST /api/alice/tasks HTTP/1.1\r\nHost: tasks\r\n"
TOKEN = f"Authorization: {bearer('alice')['Authorization']}\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: 60000\r\n\r\n"
LARGE = b"a: " + b"b" * 20_000 + b"\r\n"
# Each of them reserves memory for its head or its body, and then fails.
REQUESTS = {
    "a large head, and a malformed body in the same segment": PATH + LARGE + CHUNKED + b"zz\r\n",
    "a large head, and a malformed second chunk": PATH + LARGE + CHUNKED + b"1\r\n{\r\nzz\r\n",
    "a large head without a token": PATH + LARGE + b"\r\n",
    "a large head that is malformed": PATH + LARGE + b"Foo : x\r\n\r\n",
    "a part of a large head": PATH + LARGE,
    "a part of a large body": PATH + TOKEN + JSON + LENGTH + b" " * 30_000,
    "a large body that is malformed": PATH + TOKEN + JSON + CHUNKED + b"bb8\r\n" + b" " * 4000,
    "a large body that is not JSON": PATH + TOKEN + JSON + LENGTH + b" " * 60_000,
}


granted: list[Hold] = []


async def budget(request: Request) -> dict[str, int]:
    return {"used": request.state.memory.used}


async def work_later(request: Request, tasks: BackgroundTasks) -> None:
    await request.body()
    tasks.add_task(asyncio.sleep, 20)


async def stream_without_reading(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        # Starlette waits for a disconnect, and so for the memory of the body
        await asyncio.to_thread(eventually, lambda: granted)
        yield b"b"

    return StreamingResponse(parts())


async def leave_a_task(request: Request) -> None:
    reading = asyncio.create_task(request.body())
    reading.add_done_callback(asyncio.Task.exception)  # it is a ClientDisconnect
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def base_url(postgres: URL) -> Iterator[str]:
    app = create_app(make_settings(postgres, shutdown_timeout=1))
    app.add_api_route("/budget", budget)
    app.add_api_route("/later", work_later, methods=["POST"])
    app.add_api_route("/left", leave_a_task, methods=["POST"])
    app.add_api_route("/stream", stream_without_reading, methods=["POST"])
    with serving(app) as url:
        yield url


def is_unused(client: httpx.Client) -> bool:
    return bool(client.get("/budget").json() == {"used": 0})


@pytest.mark.parametrize("is_reset", [False, True], ids=["half-closed", "reset"])
@pytest.mark.parametrize("name", REQUESTS)
def test_the_memory_of_a_request_that_fails_is_released(
    base_url: str, name: str, is_reset: bool
) -> None:
    for _ in range(3):
        with connected(base_url) as client, suppress(ConnectionError):
            client.sendall(REQUESTS[name])
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    with httpx.Client(base_url=base_url, verify=NO_TLS) as client:
        eventually(lambda: is_unused(client))


def test_the_memory_of_a_body_is_released_before_background_tasks(base_url: str) -> None:
    with httpx.Client(base_url=base_url, verify=NO_TLS) as client:
        assert client.post("/later", content=bytes(60_000)).status_code == 200
        eventually(lambda: is_unused(client))


@pytest.mark.parametrize("path", ["/left", "/stream"])
def test_memory_that_is_granted_after_the_response_has_begun_is_released(
    base_url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted.clear()
    acquire = MemoryBudget.acquire

    async def recorded(self: MemoryBudget, user: str, size: int) -> Hold:
        granted.append(hold := await acquire(self, user, size))
        return hold

    with httpx.Client(base_url=base_url, verify=NO_TLS) as client, monkeypatch.context() as patched:
        patched.setattr(MemoryBudget, "acquire", recorded)
        patched.setattr(MemoryBudget, "has_room", lambda *_: False)  # so that it waits
        assert client.post(path, content=bytes(60_000)).status_code == 200
        eventually(lambda: granted)
        eventually(lambda: is_unused(client))
