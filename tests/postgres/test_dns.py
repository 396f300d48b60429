"""The names of database hosts are resolved without blocking the event loop."""

import asyncio
import socket
import time
from typing import Any

import psycopg2
import pytest

from postgres import driver
from postgres.dns import addresses

RESOLVED = {"a.example": ["192.0.2.1", "2001:db8::1"], "b.example": ["192.0.2.2"]}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the resolver of the network, so that the tests need no network."""

    def getaddrinfo(host: str, *_: object, flags: int = 0, **__: object) -> list[Any]:
        if flags:
            raise OSError("this is not an address")
        if host == "silent.example":
            time.sleep(60)
            raise OSError("no DNS server responded")  # by then, another test is running
        return [(0, 0, 0, "", (address, 0)) for address in RESOLVED[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"host": "/tmp/sockets"}, {}),
        ({"host": "a.example", "hostaddr": "192.0.2.9"}, {}),
        (
            {"host": "a.example", "port": 5432},
            {
                "host": "a.example,a.example",
                "hostaddr": "192.0.2.1,2001:db8::1",
                "port": "5432,5432",
            },
        ),
        (
            {"host": "/tmp,b.example", "port": "1,2"},
            {"host": "/tmp,b.example", "hostaddr": ",192.0.2.2", "port": "1,2"},
        ),
    ],
)
def test_each_address_of_a_host_becomes_a_hostaddr(
    resolver: None, given: dict[str, Any], expected: dict[str, str]
) -> None:
    assert asyncio.run(addresses(given)) == expected


@pytest.mark.parametrize("host", ["nobody.invalid", "no..name", "nobody.invalid,no..name"])
def test_an_unknown_host_is_a_database_error(host: str) -> None:
    with pytest.raises(psycopg2.OperationalError):
        asyncio.run(addresses({"host": host}))


def test_an_unknown_name_among_several_is_left_out() -> None:
    found = asyncio.run(addresses({"host": "nobody.invalid,127.0.0.1", "port": "1,2"}))
    assert found == {"host": "127.0.0.1", "hostaddr": "127.0.0.1", "port": "2"}


def test_a_silent_resolver_times_out_without_blocking_the_loop(
    resolver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "CONNECT_TIMEOUT", 0.3)

    async def work() -> None:
        connecting = asyncio.ensure_future(driver.connect(host="silent.example", user="x"))
        for _ in range(5):  # other tasks keep running
            started = time.perf_counter()
            await asyncio.sleep(0.02)
            assert time.perf_counter() - started < 0.2
        with pytest.raises(TimeoutError):
            await connecting

    asyncio.run(work())


def test_a_resolved_name_connects_to_its_server() -> None:
    reached = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(writer.get_extra_info("sockname")[0])
        writer.close()
        await writer.wait_closed()

    async def work() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(psycopg2.OperationalError):
                await driver.connect(host="localhost", port=port, user="x", sslmode="disable")

    asyncio.run(work())
    assert reached == ["127.0.0.1"]
