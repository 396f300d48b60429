"""Host names are looked up in threads that delay neither the event loop nor the exit."""

import ast
import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from addresses import look_up
from tests.support.layers import MODULES
from tests.support.services import eventually

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
# What waits for a thread of the event loop, which keeps the loop from closing.
WAITING = (
    *("getaddrinfo", "getnameinfo", "sock_connect", "open_connection", "create_connection"),
    *("run_in_executor", "to_thread"),
)


class Resolver:
    """A resolver that responds when `respond` is called. It has one address for each name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._responds = threading.Event()

    def getaddrinfo(self, host: str, *_: object, flags: int = 0, **__: object) -> list[Any]:
        if flags:
            raise OSError("this is not an address")
        self.asked.append(host)
        assert self._responds.wait(10)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    def respond(self) -> None:
        self._responds.set()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.respond()
    eventually(lambda: not lookups())


def lookups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "DNS"]


def test_concurrent_calls_share_a_lookup(resolver: Resolver) -> None:
    async def work() -> None:
        calls = [asyncio.create_task(look_up(host)) for host in ("a.example", "b.example") * 5]
        await asyncio.sleep(0)
        calls.pop().cancel()
        resolver.respond()
        assert await asyncio.gather(*calls) == [["192.0.2.1"]] * 9

    asyncio.run(work())
    assert sorted(resolver.asked) == ["a.example", "b.example"]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_an_event_loop_closes_during_a_lookup(
    resolver: Resolver, new_loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(look_up("a.example"), 0.05)

    began = time.monotonic()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(give_up())
    assert time.monotonic() - began < 5
    assert [thread.daemon for thread in lookups()] == [True]

    async def ask_again() -> list[str]:
        asyncio.get_running_loop().call_later(0.05, resolver.respond)
        return await look_up("a.example")

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(ask_again()) == ["192.0.2.1"]
    assert not caplog.records


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%1", "127.1"])
def test_an_address_needs_no_lookup(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addresses.Thread", None)
    assert len(asyncio.run(look_up(host))) == 1


@pytest.mark.parametrize("host", ["nobody.invalid", "no..name", "x" * 64 + ".example", "a\0b"])
def test_a_name_without_an_address_has_none(host: str) -> None:
    assert asyncio.run(look_up(host)) == []


def test_a_thread_that_cannot_be_started_fails_only_its_call(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert asyncio.run(look_up("a.example")) == []
    resolver.respond()
    assert asyncio.run(look_up("a.example")) == ["192.0.2.1"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lookup_that_fails_in_an_unusual_way_does_not_block_its_name(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, flags: int = 0, **__: object) -> None:
        raise OSError if flags else MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", fail)
        assert asyncio.run(look_up("a.example")) == []
    resolver.respond()
    assert asyncio.run(look_up("a.example")) == ["192.0.2.1"]


def test_nothing_else_in_the_service_waits_for_a_thread_of_the_event_loop() -> None:
    """A name that is looked up there delays the exit until its nameservers have timed out."""
    found = {
        (name, node.attr)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in WAITING
    }
    assert found == {
        ("addresses", "getaddrinfo"),
        ("tokens.http_get", "open_connection"),  # to an address
    }
