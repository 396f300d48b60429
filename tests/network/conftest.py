"""A simulated network between a distant Postgres and a service with default settings.

The tests run on the service's side of the network. All tests of the service share one process,
which must survive them without a restart.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trustme
from sqlalchemy.engine import URL

from development import database as development
from tests.network.link import DATABASE_ADDRESS, Link, missing
from tests.parts.parts import POSTGRES
from tests.support.postgres_servers import temporary_postgres
from tests.support.processes import Service, started
from tests.support.services import database_of_its_own, eventually, sql

HBA = "local all postgres trust\nhostssl all all all scram-sha-256\n"

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request at INFO

Serve = Callable[..., AbstractContextManager[Service]]


class Database(NamedTuple):
    """The URLs of one database: `far` uses the simulated network, and `near` bypasses it."""

    far: URL
    near: URL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.network)


def need(sentence: str | None) -> None:
    if sentence:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)


@pytest.fixture(scope="session")
def link() -> Iterator[Link]:
    """The network. The tests' own thread is on the service's side of it."""
    need(missing())
    with Link() as link, link.inside("service"):
        yield link


@pytest.fixture(scope="session")
def database(link: Link, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database on the far side, which requires TLS and SCRAM."""
    if not (POSTGRES / "postgres").exists():
        need("Postgres with TLS is missing: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("far")
    folder.chmod(0o755)
    options = _server_options(folder / "files")
    with ExitStack() as stack:
        with link.inside("database"):
            server = stack.enter_context(temporary_postgres(POSTGRES, folder, *options))
        near = stack.enter_context(database_of_its_own(server))
        password = secrets.token_urlsafe(16)
        sql(near, f"ALTER ROLE {near.username} PASSWORD '{password}'")
        far = near.set(password=password, host=DATABASE_ADDRESS, query={"sslmode": "require"})
        yield Database(far, near)


def _server_options(files: Path) -> list[str]:
    development._make_private(files)
    certificate = trustme.CA().issue_cert(DATABASE_ADDRESS)
    contents = {
        "server.pem": certificate.cert_chain_pems[0].bytes(),
        "server.key": certificate.private_key_pem.bytes(),
        "hba": HBA.encode(),
    }
    owner = development._owner()
    assert owner is not None  # a Link needs root
    for name, content in contents.items():
        path = files / name
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, owner.pw_uid, owner.pw_gid)
    settings = {
        "listen_addresses": DATABASE_ADDRESS,
        "ssl": "on",
        "ssl_cert_file": files / "server.pem",
        "ssl_key_file": files / "server.key",
        "hba_file": files / "hba",
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


@pytest.fixture(scope="session")
def serve(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start a service in production with default settings, by default on `database`."""

    def serve(url: URL = database.far) -> AbstractContextManager[Service]:
        return started(
            tmp_path_factory.mktemp("service"),
            database_url=url.render_as_string(hide_password=False),
            environment="production",
        )

    return serve


@pytest.fixture(scope="session")
def shared(serve: Serve) -> Iterator[Service]:
    with serve() as service:
        yield service.starts()
        assert service.stops() == 0
        assert "Traceback" not in "\n".join(service.lines)


@pytest.fixture
def service(shared: Service, link: Link) -> Iterator[Service]:
    """The shared service. Each test begins and ends with a perfect network."""
    link.set()
    with shared.client() as client:
        eventually(lambda: client.get("/health").status_code == 200, 20)
    yield shared
    link.set()


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Alice's client, on the service's side of the network."""
    with service.client() as client:
        client.get("/api/alice/tasks").raise_for_status()  # opens a connection
        yield client
