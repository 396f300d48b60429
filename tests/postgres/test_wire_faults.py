"""The server's data ends, or turns into garbage, within a handshake or a response.

tests/faults/test_every_byte.py does the same at every byte.
"""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from postgres import driver
from postgres.connect_error import ConnectError
from postgres.dialect import libpq_parameters
from tests.postgres.sessions import Run
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.services import sql
from tests.support.wire_faults import Client, connecting, short_time_limits, url_of


@pytest.fixture(params=[True, False], ids=["TLS", "plain"], scope="module")
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def proxy(url: URL, tls: bool) -> Iterator[FaultProxy]:
    sql(url, "CREATE TABLE IF NOT EXISTS hits (n int)")
    with fault_proxy(url, tls=tls) as proxy:
        yield proxy


@pytest.fixture
def spoiled(url: URL, proxy: FaultProxy, tls: bool) -> URL:
    """The URL that leads through the proxy."""
    return url_of(proxy, url, tls=tls)


@pytest.mark.slow
def test_a_handshake_that_is_cut_off_after_the_certificate_is_a_503(url: URL) -> None:
    """libpq once crashed the process here, so the client of this test runs in a separate one."""
    with (
        fault_proxy(url, tls=True) as proxy,
        connecting(url_of(proxy, url, tls=True), "uvloop") as client,
    ):
        assert client.connect() == "connected"
        for after in range(0, proxy.sent, 50):
            proxy.spoil("close", after)
            assert client.connect() in ("503 None", "connected"), after
        assert client.connect() == "connected"


def test_the_servers_error_is_read_although_the_connection_ends_with_it(
    run: Run, url: URL, proxy: FaultProxy, tls: bool
) -> None:
    async def work() -> None:
        parameters = libpq_parameters(url_of(proxy, url.set(database="absent"), tls=tls))
        for _ in range(5):
            with pytest.raises(ConnectError, match="does not exist") as error:
                await driver.connect(**parameters)
            assert error.value.sqlstate == "3D000"

    run(work())


@pytest.mark.parametrize("fault", ["close", "reset", "half-close"])
def test_after_a_truncated_response_a_read_is_repeated_and_a_write_is_not(
    run: Run, url: URL, proxy: FaultProxy, spoiled: URL, fault: str
) -> None:
    async def work() -> None:
        client = Client(spoiled)
        await client.read()
        proxy.spoil("", 0)
        await client.read()
        length = proxy.sent
        for after in (0, 1, length // 2, length - 1):
            proxy.spoil(fault, after)
            assert await client.read(), after
        sql(url, "TRUNCATE hits")
        for after in (0, 40):
            await client.read()
            proxy.spoil(fault, after)
            assert not await client.write(after)
            assert await client.read()
        assert await asyncio.to_thread(sql, url, "SELECT n FROM hits ORDER BY n") == [(0,), (40,)]
        await client.close()

    run(work())


@pytest.mark.parametrize("fault", ["garbage", "silence"])
def test_an_unreadable_response_times_out_and_closes_the_connection(
    run: Run, proxy: FaultProxy, spoiled: URL, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        client = Client(spoiled)
        await client.read()
        proxy.spoil(fault, 60)
        with monkeypatch.context() as meanwhile:
            short_time_limits(meanwhile)
            async with asyncio.timeout(2):
                await client.read()
        assert await client.read()
        await client.close()

    run(work())
