"""The server's data ends, or turns into garbage, at any byte of a handshake or of a response.

With and without TLS, and with SCRAM. Faults that last until a timeout are tried at fewer bytes.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import uvloop
from sqlalchemy.engine import URL

from tests.faults.servers import Postgres
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.processes import until
from tests.support.wire_faults import (
    Client,
    Connecting,
    connecting,
    open_files,
    short_time_limits,
    url_of,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
FIRST = {"asyncio": 0, "uvloop": 1}  # while connecting, one loop tries even bytes, the other odd
AT_ONCE = 4
Lane = tuple[FaultProxy, Connecting]


@pytest.fixture(params=[True, False], ids=["TLS", "plain"], scope="module")
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def scram(database: Postgres) -> URL:
    """Add a user for whom Postgres requires a password."""
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


@contextmanager
def lane(scram: URL, tls: bool, loop: str) -> Iterator[Lane]:
    with fault_proxy(scram, tls=tls) as proxy:
        url = url_of(proxy, scram, tls=tls, username="scram", password="secret")
        with connecting(url, loop) as client:
            yield proxy, client


@pytest.fixture(scope="module", params=LOOPS)
def lanes(
    request: pytest.FixtureRequest, scram: URL, tls: bool
) -> Iterator[tuple[str, list[Lane]]]:
    """A loop, and clients on it, each with a proxy. Several save time: attempts mostly wait."""
    with ExitStack() as stack:
        loop: str = request.param
        yield loop, [stack.enter_context(lane(scram, tls, loop)) for _ in range(AT_ONCE)]


@pytest.mark.parametrize(
    ("fault", "every"),
    [("close", 3), ("reset", 17), ("half-close", 53), ("garbage", 151), ("silence", 601)],
)
def test_a_fault_while_connecting_is_a_503_or_no_failure(
    lanes: tuple[str, list[Lane]], fault: str, every: int
) -> None:
    """Half of the time the client sees the last bytes and the fault at the same time."""
    loop, pairs = lanes

    def connect(number: int) -> None:
        proxy, client = pairs[number]
        proxy.spoil("", 0)
        client.connects()
        for after in range(FIRST[loop], proxy.sent, every * 2)[number::AT_ONCE]:
            proxy.spoil(fault, after, freeze=client.pid * (after // every % 4 < 2))
            assert client.connect() in ("503 None", "connected"), after
            proxy.spoil("", 0)
        client.connects()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(connect, range(AT_ONCE)))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("fault", "every"),
    [("close", 7), ("reset", 2), ("half-close", 17), ("garbage", 29), ("silence", 101)],
)
def test_a_fault_in_a_response_repeats_reads_and_never_writes(
    url: URL,
    proxy: FaultProxy,
    database: Postgres,
    loop: str,
    fault: str,
    every: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database.sql("TRUNCATE hits")
    happened: list[int] = []
    is_waited_for = fault in ("garbage", "silence")

    async def spoiled(work: Awaitable[bool], after: int) -> bool:
        """Return the result of a statement whose response has a fault at a byte."""
        proxy.spoil(fault, after)
        with monkeypatch.context() as meanwhile:
            if is_waited_for:
                short_time_limits(meanwhile)
            done = await work
        proxy.spoil("", 0)
        return done

    async def work() -> None:
        client = Client(url)
        await client.read()
        proxy.spoil("", 0)
        await client.read()
        length = proxy.sent
        for after in range(0, length, every):
            assert await spoiled(client.read(), after) or is_waited_for, after
            assert await client.read(), after
            if await spoiled(client.write(after), after):
                happened.append(after)
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
