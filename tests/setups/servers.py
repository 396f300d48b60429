"""The databases that the set-ups use, and the networks that lead to them."""

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from sqlalchemy.engine import URL

from tests.faults.pgbouncer import pgbouncer
from tests.faults.servers import postgres
from tests.network.interface import CLONE_NEWNET, enter
from tests.support.postgres_servers import give, postgres_versions, temporary_postgres
from tests.support.processes import free_port
from tests.support.services import sql

PASSWORD = "se-cret"
HBA = """\
local all postgres trust
host all app 127.0.0.1/32 scram-sha-256
host all app ::1/128 scram-sha-256
"""
DEBIAN = "/usr/lib/postgresql"
TOMORROW = datetime.now(UTC) + timedelta(days=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Server(NamedTuple):
    """A database server: `url` is how the service reaches it, with `{place}` and `{name}` in it."""

    superuser: URL
    place: str
    url: str = f"postgresql://app:{PASSWORD}@{{place}}/{{name}}"
    client: str = "127.0.0.1"  # the address at which clients look for the service


@contextmanager
def server(
    locale: str = "C.UTF-8",
    address: str = "127.0.0.1",
    programs: Path | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a Postgres while the context is open, by default with the newest `programs`."""
    # A server in a network of its own can have any port.
    port = free_port() if address == "127.0.0.1" else 5432
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    with _open_folder() as folder:
        give(folder / "hba", HBA)
        settings |= {"listen_addresses": address, "port": port, "hba_file": folder / "hba"}
        options = (word for each in settings.items() for word in ("-c", "{}={}".format(*each)))
        with temporary_postgres(programs or _newest(), folder, *options) as url:
            superuser = url.set(port=port)
            _set_locale(superuser, locale)
            yield Server(superuser, place)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Yield a temporary folder that the user of Postgres can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _newest() -> Path:
    return max(postgres_versions().items(), key=lambda each: int(each[0]))[1]


def _debians() -> Path:
    """Return the programs of a Postgres that has TLS, which the wheel's lacks."""
    found = [each for each in postgres_versions().values() if each.is_relative_to(DEBIAN)]
    assert found, "Debian's postgresql is not installed"
    return found[0]


def _set_locale(superuser: URL, locale: str) -> None:
    """Give the databases that are created later this locale."""
    sql(superuser, "ALTER DATABASE template1 IS_TEMPLATE false")
    sql(superuser, "DROP DATABASE template1")
    sql(superuser, f"CREATE DATABASE template1 TEMPLATE template0 LOCALE '{locale}'")


@contextmanager
def session_pooler(connections: int) -> Iterator[Server]:
    """Run a PgBouncer in session mode with this many connections to its Postgres."""
    mode = {"pool_mode": "session", "default_pool_size": connections}
    with (
        _open_folder() as folder,
        postgres(folder) as database,
        pgbouncer(database, folder / "log", **mode) as url,
    ):
        place = str(url.query["host"])
        yield Server(database.url, place, "postgresql://postgres@/{name}?host={place}")


@contextmanager
def server_with_certificate(until: datetime) -> Iterator[Server]:
    """Run a Postgres whose certificate is from a new authority, which clients trust."""
    authority = trustme.CA()
    issued = until - timedelta(days=90)
    certificate = authority.issue_cert("127.0.0.1", not_before=issued, not_after=until)
    with _open_folder() as folder:
        give(folder / "key", certificate.private_key_pem.bytes().decode())
        give(folder / "certificate", certificate.cert_chain_pems[0].bytes().decode())
        authority.cert_pem.write_to_path(str(folder / "authority"))
        files = {"ssl_key_file": folder / "key", "ssl_cert_file": folder / "certificate"}
        settings: dict[str, Any] = {"ssl": "on", **files}
        with server(programs=_debians(), **settings) as running:
            verified = f"?sslmode=verify-full&sslrootcert={folder / 'authority'}"
            yield running._replace(url=running.url + verified)


@contextmanager
def ipv6_only() -> Iterator[Server]:
    """Move this thread to a network that has nothing but ::1, and run a Postgres there."""
    with Path("/proc/thread-self/ns/net").open() as outside:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a new network needs root")
        try:
            for command in ("link set lo up", "address delete 127.0.0.1/8 dev lo"):
                subprocess.run(["ip", *command.split()], check=True)
            with server(address="::1") as running:
                yield running._replace(client="[::1]")
        finally:
            enter(outside.fileno())
