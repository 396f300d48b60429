"""Postgres as Neon offers it: TLS, SCRAM, and a pooled and a direct connection string."""

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import trustme
from sqlalchemy.engine import URL

from development import database as development
from tests.parts.parts import POSTGRES
from tests.support.postgres_servers import give, temporary_postgres
from tests.support.processes import free_port, until
from tests.support.services import sql

USER = "neondb_owner"
DATABASE = "neondb"
POOL = 20  # PgBouncer's connections to Postgres, shared by all clients

# TCP clients need TLS and a password.
HBA = """\
local   all postgres              trust
hostssl all all      127.0.0.1/32 scram-sha-256
"""

# Like Neon's pooler, this one is in transaction mode, and neither forwards nor ignores any startup
# parameter. It knows only the SCRAM secret that Postgres stores, which proves that both sides use
# SCRAM.
PGBOUNCER = """\
[databases]
{database} = host=localhost port={target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
auth_type = scram-sha-256
auth_file = {folder}/users
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.pem
client_tls_key_file = {folder}/server.key
server_tls_sslmode = verify-full
server_tls_ca_file = {folder}/ca.pem
logfile = {folder}/log
"""


class Neon(NamedTuple):
    """The two connection strings without parameters, the CA certificate, and a superuser's URL."""

    pooled: str
    direct: str
    authority: Path
    superuser: URL


@contextmanager
def neon(folder: Path) -> Iterator[Neon]:
    """Run a Postgres and a PgBouncer while the context is open."""
    folder.chmod(0o755)
    files = folder / "files"
    development._make_private(files)
    _certify(files)
    port, pooler_port = free_port(), free_port()
    with _postgres(folder / "postgres", files, port) as superuser:
        password = secrets.token_urlsafe(16)
        sql(superuser, f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
        sql(superuser, f"CREATE DATABASE {DATABASE} OWNER {USER}")
        [(secret,)] = sql(superuser, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", USER)
        give(files / "users", f'"{USER}" "{secret}"\n')
        with _pgbouncer(files, pooler_port, port):
            pooled, direct = (
                f"postgresql://{USER}:{password}@localhost:{each}/{DATABASE}"
                for each in (pooler_port, port)
            )
            give(folder / "ca.pem", (files / "ca.pem").read_text())
            yield Neon(pooled, direct, folder / "ca.pem", superuser.set(database=DATABASE))


def _certify(folder: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("localhost")  # but not for 127.0.0.1
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    give(folder / "ca.pem", authority.cert_pem.bytes().decode())
    give(folder / "server.pem", chain.decode())
    give(folder / "server.key", server.private_key_pem.bytes().decode())
    give(folder / "hba", HBA)


@contextmanager
def _postgres(folder: Path, files: Path, port: int) -> Iterator[URL]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "ssl": "on",
        "ssl_cert_file": files / "server.pem",
        "ssl_key_file": files / "server.key",
        "hba_file": files / "hba",
        "password_encryption": "scram-sha-256",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    folder.mkdir()
    with temporary_postgres(POSTGRES, folder, *options) as url:
        yield url.set(port=port)


@contextmanager
def _pgbouncer(folder: Path, port: int, target: int) -> Iterator[None]:
    settings = PGBOUNCER.format(
        database=DATABASE, target=target, port=port, pool=POOL, folder=folder
    )
    give(folder / "pgbouncer.ini", settings)
    command = ["pgbouncer", "--quiet", str(folder / "pgbouncer.ini")]
    with subprocess.Popen([*development._setpriv_prefix(), *command]) as process:
        try:
            until(lambda: _listens(port) or process.poll() is not None, "PgBouncer to listen")
            assert process.poll() is None, (folder / "log").read_text()
            yield
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
