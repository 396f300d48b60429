"""DEV_DB_PORT: other programs of the same user can connect to development's Postgres over TCP."""

import shutil
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import URL, make_url

from development.database import running_postgres
from development.tcp_url import tcp_url
from tests.support.processes import free_port, postmaster, run, using
from tests.support.services import recorded_log, sql
from tests.support.serving import make_settings

NOTES = "SELECT note FROM notes"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def url_by_tcp(folder: Path, port: int) -> URL:
    password = (folder / "password").read_text()
    return URL.create("postgresql", "postgres", password, "127.0.0.1", port, "postgres")


def read_by_tcp(url: URL, statement: str = NOTES) -> object:
    with closing(psycopg2.connect(url.render_as_string(False))) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_connection_over_tcp_needs_the_password(folder: Path, port: int) -> None:
    with recorded_log() as log, running_postgres(folder, port) as url:
        assert sql(url, NOTES) == [("kept",)]
        assert sql(url, "SHOW listen_addresses") == [("127.0.0.1",)]
        by_tcp = url_by_tcp(folder, port)
        assert read_by_tcp(by_tcp) == [("kept",)]
        for password in ("", "wrong"):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                read_by_tcp(by_tcp.set(password=password))
    assert not is_open(port)
    secret = folder / "password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert f"[The database listens on 127.0.0.1:{port} too. " in log.getvalue()
    for written in (log.getvalue(), (folder / "log").read_text()):
        assert secret.read_text() not in written


def test_a_port_in_use_ends_the_process_with_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            running_postgres(folder, port).__enter__()
    assert str(ended.value) == (
        f"Configuration error: DEV_DB_PORT {port} is in use. "
        "Stop the program that uses it, or set another."
    )
    assert postmaster(folder) is None


def test_the_printed_url_has_the_port_and_the_folder_of_the_settings(
    postgres: URL, tmp_path: Path
) -> None:
    own = {"database_url": None, "data_dir": tmp_path}
    url = tcp_url(make_settings(postgres, dev_db_port=5433, **own))
    assert url == url_by_tcp(tmp_path / "postgres", 5433)
    with pytest.raises(SystemExit, match=r"^Set DEV_DB_PORT"):
        tcp_url(make_settings(postgres, **own))
    with pytest.raises(SystemExit, match="DATABASE_URL"):
        tcp_url(make_settings(postgres, dev_db_port=5433, data_dir=tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is missing")
def test_psql_accepts_the_printed_url(tmp_path: Path, port: int) -> None:
    with running_postgres(tmp_path / "postgres", port):
        printed = run("-m", "development.tcp_url", data_dir=tmp_path, dev_db_port=port).stdout
        command = ["psql", printed.strip(), "-Atc", "SELECT inet_server_port()"]
        response = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (response.stdout, response.stderr) == (f"{port}\n", "")


@pytest.mark.slow
def test_a_second_service_uses_the_server_of_the_first(folder: Path, port: int) -> None:
    with running_postgres(folder, port) as url, using(folder) as second:
        assert make_url(second.is_served()) == url
        assert read_by_tcp(url_by_tcp(folder, port)) == [("kept",)]
        with pytest.raises(SystemExit, match=r"already runs for another process.*DEV_DB_PORT 1\."):
            running_postgres(folder, 1).__enter__()
    assert postmaster(folder) is None


@pytest.mark.slow
def test_the_port_stays_open_until_the_last_service_ends(folder: Path, port: int) -> None:
    with using(folder, port=port) as first:
        assert first.is_served()
        with using(folder) as last:
            assert last.is_served()
            assert first.leaves() == 0
            assert read_by_tcp(url_by_tcp(folder, port)) == [("kept",)]
            assert last.leaves() == 0
    assert not is_open(port)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["no port", "another port", "the same port"])
def test_after_kill_9_of_the_service_the_next_one_sets_the_port(
    folder: Path, port: int, before: str
) -> None:
    """The server survives, and may be started again because no process uses it."""
    earlier = {"no port": None, "another port": free_port(), "the same port": port}[before]
    with using(folder, port=earlier) as user:
        assert user.is_served()
        user.process.kill()
        user.process.wait()
        with running_postgres(folder, port) as url:
            assert sql(url, NOTES) == [("kept",)]
            assert read_by_tcp(url_by_tcp(folder, port)) == [("kept",)]
            assert is_open(port)
            assert not earlier or earlier == port or not is_open(earlier)


@pytest.mark.slow
def test_after_kill_9_of_service_and_server_both_start_with_or_without_a_port(
    folder: Path, port: int
) -> None:
    for later in (None, port):
        with using(folder, port=port) as user:
            assert user.is_served()
            server = postmaster(folder)
            assert server is not None
            for victim in (user.process, server):
                victim.kill()
                victim.wait()
            with running_postgres(folder, later) as url:
                assert sql(url, NOTES) == [("kept",)]
                assert is_open(port) == (later is not None)
