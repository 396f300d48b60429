"""The server's bytes end, or turn into garbage, in the midst of connecting and of responses.

Over TLS and without, with SCRAM. Faults that take until a time limit are tried at some bytes only.
"""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from sqlalchemy.engine import URL

from tests.faults.servers import Postgres
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.processes import until
from tests.support.wire_faults import (
    Client,
    connecting,
    open_files,
    short_time_limits,
    url_of,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
FIRST = {"asyncio": 0, "uvloop": 1}  # the first byte: while connecting each takes every second


@pytest.fixture(params=[True, False], ids=["TLS", "plain"], scope="module")
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def scram(database: Postgres) -> URL:
    """Lets Postgres ask a user for a password."""
    hba = database.data / "pg_hba.conf"
    hba.write_text(f"local all scram scram-sha-256\n{hba.read_text()}")
    database.sql("SELECT pg_reload_conf()")
    database.sql("CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'secret'")
    database.sql("CREATE TABLE hits (n int)")
    return database.url


@pytest.fixture(scope="module")
def proxy(scram: URL, tls: bool) -> Iterator[FaultProxy]:
    with fault_proxy(scram, tls=tls) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def url(scram: URL, proxy: FaultProxy, tls: bool) -> URL:
    return url_of(proxy, scram, tls=tls, username="scram", password="secret")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("fault", "every"),
    [("close", 3), ("reset", 17), ("half-close", 53), ("garbage", 151), ("silence", 601)],
)
def test_connecting(url: URL, proxy: FaultProxy, loop: str, fault: str, every: int) -> None:
    """Half of the time the client finds the last bytes and the fault at once."""
    with connecting(url, loop) as client:
        assert client.connect() == "connected"
        for after in range(FIRST[loop], proxy.sent, every * 2):
            proxy.spoil(fault, after, freeze=client.pid * (after // every % 4 < 2))
            assert client.connect() in ("503 None", "connected"), after
            proxy.spoil("", 0)
        assert client.connect() == "connected"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("fault", "every"),
    [("close", 7), ("reset", 2), ("half-close", 17), ("garbage", 29), ("silence", 101)],
)
def test_a_response(
    url: URL,
    proxy: FaultProxy,
    database: Postgres,
    loop: str,
    fault: str,
    every: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short_time_limits(monkeypatch)
    database.sql("TRUNCATE hits")
    happened: list[int] = []

    async def work() -> None:
        client = Client(url)
        await client.read()
        proxy.spoil("", 0)
        await client.read()
        length = proxy.sent
        for after in range(0, length, every):
            proxy.spoil(fault, after)
            read = await client.read()
            assert read or fault in ("garbage", "silence"), after
            proxy.spoil("", 0)
            assert await client.read(), after
            proxy.spoil(fault, after)
            if await client.write(after):
                happened.append(after)
            proxy.spoil("", 0)
            assert await client.read(), after
        await client.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.sleep(0))  # libuv opens a pipe for the process
    before = open_files()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(work())
    until(lambda: open_files() <= before, "the files of the connections to be closed")
    counted = database.sql("SELECT n, count(*) FROM hits GROUP BY n")
    assert {count for _, count in counted} == {1}
    assert {n for n, _ in counted} >= set(happened)
