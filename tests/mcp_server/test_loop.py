"""The event loop of the MCP server looks names up without delaying the exit."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from mcp_server.loop import Loop


def test_a_loop_closes_during_a_lookup_that_all_calls_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, respond = [], threading.Event()

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        respond.wait(10)
        return []

    async def give_up(loop: asyncio.AbstractEventLoop) -> None:
        calls = [loop.getaddrinfo("a.example", 80, type=socket.SOCK_STREAM) for _ in range(3)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*calls), 0.05)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    began = time.monotonic()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(give_up(runner.get_loop()))
    assert time.monotonic() - began < 5
    assert asked == ["a.example"]
    respond.set()


def test_a_lookup_returns_or_raises_what_the_socket_module_does() -> None:
    async def look_up(host: str) -> Any:
        return await asyncio.get_running_loop().getaddrinfo(host, 80, type=socket.SOCK_STREAM)

    with asyncio.Runner(loop_factory=Loop) as runner:
        for _ in range(2):
            found = runner.run(look_up("localhost"))
            assert found == socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
            with pytest.raises(socket.gaierror):
                runner.run(look_up("nobody.invalid"))
