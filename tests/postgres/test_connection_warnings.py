"""The connections about which the service warns, by the address of the server."""

import logging
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import URL

from addresses import is_host, is_loopback, unmapped
from database import Database
from observability import connection_warnings
from observability.connection_warnings import DEVELOPMENT, NO_TLS, ConnectionWarnings
from tests.postgres.sessions import Run
from tests.support.postgres_servers import give, postgres_versions, temporary_postgres
from tests.support.processes import free_port


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("db", False),
    ],
)
def test_only_loopback_addresses_are_local(host: str, loopback: bool) -> None:
    assert is_host(host)
    assert is_loopback(host) == loopback


def test_an_ipv4_mapped_address_is_shown_as_ipv4() -> None:
    assert unmapped(("::ffff:192.0.2.1", 5)) == ("192.0.2.1", 5)
    assert unmapped(("2001:db8::1", 5)) == ("2001:db8::1", 5)
    assert unmapped(None) is None


def test_a_unix_socket_is_not_remote(run: Run, url: URL, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        for environment in ("development", "production"):
            database = Database(url, 1, on_connect=ConnectionWarnings(environment))
            await database.condition.check()
            await database.close()

    run(work())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A Postgres at the machine's own address, which is not a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but selects the address
        except OSError:
            pytest.skip("the machine has no address but loopback")
        address = probe.getsockname()[0]
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    folder.chmod(0o755)
    give(folder / "hba", f"local all all trust\nhost all all {address}/32 trust\n")
    options = (f"listen_addresses={address}", f"port={port}", f"hba_file={folder / 'hba'}")
    words = [word for option in options for word in ("-c", option)]
    newest = max(postgres_versions().items(), key=lambda each: int(each[0]))[1]
    with temporary_postgres(newest, folder, *words):
        yield URL.create("postgresql", "postgres", None, address, port, "postgres")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "message"), [("development", DEVELOPMENT), ("production", NO_TLS)]
)
def test_a_connection_to_a_remote_address_is_warned_about_once(
    environment: str, message: str, remote: URL, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        database = Database(remote, 3, on_connect=ConnectionWarnings(environment))
        connections = [await database.pool.acquire() for _ in range(3)]
        for connection in connections:
            database.pool.release(connection)
        await database.close()

    run(work())
    assert [record.message for record in caplog.records] == [message]


@pytest.mark.parametrize(
    ("environment", "remote", "tls", "message"),
    [
        ("development", True, True, DEVELOPMENT),
        ("development", False, False, None),
        ("production", True, False, NO_TLS),
        ("production", True, True, None),
        ("production", False, False, None),
    ],
)
def test_a_warning_is_repeated_only_after_it_stopped_applying(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environment: str,
    remote: bool,
    tls: bool,
    message: str | None,
) -> None:
    connection: Any = SimpleNamespace(
        info=SimpleNamespace(ssl_in_use=tls), get_parameter_status=lambda _: "UTF8"
    )
    warnings = ConnectionWarnings(environment)
    for is_remote in (remote, remote, False, remote):
        monkeypatch.setattr(connection_warnings, "is_remote", lambda _, it=is_remote: it)
        warnings(connection)
    assert [record.message for record in caplog.records] == [message] * 2 * bool(message)
