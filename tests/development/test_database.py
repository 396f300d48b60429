"""Development's Postgres: it starts and stops with the processes that use it, and keeps data."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL, make_url

from config import ROOT
from development import database as development
from development.database import database_url, running_postgres
from tests.support.processes import (
    absent_wheel,
    frozen,
    postmaster,
    using,
)
from tests.support.services import recorded_log, sql
from tests.support.serving import make_settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")


def notes(url: URL) -> list[tuple[Any, ...]]:
    return sql(url, "SELECT note FROM notes")


@pytest.mark.slow
def test_postgres_runs_while_it_is_used_and_keeps_its_data(folder: Path) -> None:
    with running_postgres(folder) as url:
        assert notes(url) == [("kept",)]
        assert postmaster(folder)
    assert postmaster(folder) is None


def test_other_users_and_machines_cannot_reach_postgres(folder: Path) -> None:
    with running_postgres(folder) as url:
        assert sql(url, "SHOW listen_addresses") == [("",)]
        server = postmaster(folder)
        assert server is not None
        assert 0 not in server.uids()
        for private in (folder / "data", Path(str(url.query["host"]))):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_the_creation_of_a_database_is_logged_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is logged before initdb, which takes seconds."""
    monkeypatch.setattr(development._Server, "_initialize", lambda _: sys.exit("no further"))
    with recorded_log() as log, pytest.raises(SystemExit, match="no further"):
        running_postgres(tmp_path).__enter__()
    assert f"[Creating the development database in {tmp_path}, " in log.getvalue()


def test_lower_works_for_all_of_unicode(folder: Path) -> None:
    with running_postgres(folder) as url:
        assert sql(url, "SELECT lower('ÄÖЖ'), getdatabaseencoding()") == [("äöж", "UTF8")]


@pytest.mark.slow
def test_processes_that_start_together_share_one_server_until_the_last_one_ends(
    tmp_path: Path,
) -> None:
    with using(tmp_path) as first, using(tmp_path) as second:
        url = first.is_served()
        assert url == second.is_served() != ""
        server = postmaster(tmp_path)
        assert first.leaves() == 0
        assert postmaster(tmp_path) == server
        assert sql(make_url(url), "SELECT 1") == [(1,)]
        assert second.leaves() == 0
        assert postmaster(tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("killed", [["user"], ["server"], ["user", "server"], ["server", "user"]])
def test_after_kill_9_the_next_process_finds_the_committed_data(
    folder: Path, killed: list[str]
) -> None:
    with using(folder) as user:
        url = make_url(user.is_served())
        sql(url, "TRUNCATE notes; INSERT INTO notes VALUES ('just written')")
        server = postmaster(folder)
        assert server is not None
        for victim in killed:
            (user.process if victim == "user" else server).kill()
        if "user" in killed:
            user.process.wait()
        with running_postgres(folder) as url:
            assert notes(url) == [("just written",)]
            sql(url, "UPDATE notes SET note = 'kept'")
        if "user" not in killed:
            assert user.leaves() == 0
    assert postmaster(folder) is None


@pytest.mark.slow
@pytest.mark.parametrize("content", ["{python}\n", "{postgres}\n", "999999999\n", "no pid\n", ""])
def test_a_stale_pid_file_does_not_prevent_the_start(
    folder: Path, postgres: URL, content: str
) -> None:
    """After a crash, another process may have its process id, even another Postgres."""
    [(data,)] = sql(postgres, "SHOW data_directory")
    other = (Path(data) / "postmaster.pid").read_text().split()[0]
    rest = f"{folder}/data\n1700000000\n5432\n/tmp\n\n"
    lines = content.format(python=os.getpid(), postgres=other) + (rest if content else "")
    (folder / "data/postmaster.pid").write_text(lines)
    with running_postgres(folder) as url:
        assert notes(url) == [("kept",)]
    assert sql(postgres, "SELECT 1") == [(1,)]


@pytest.mark.slow
def test_a_stale_socket_lock_does_not_prevent_the_start(folder: Path) -> None:
    server = development._Server(folder.resolve())
    development._make_private(server.socket)
    (server.socket / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n/data\n1700000000\n")
    with running_postgres(folder) as url:
        assert notes(url) == [("kept",)]


@pytest.mark.slow
def test_no_second_server_is_started_beside_one_that_hangs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers on one cluster would corrupt it."""
    monkeypatch.setattr(development, "START_TIMEOUT", 1)
    with using(folder) as user:
        assert user.is_served()
        server = postmaster(folder)
        with (
            frozen(folder),
            pytest.raises(SystemExit, match=r"does not start; see .*/log$"),
            running_postgres(folder),
        ):
            pass
        assert postmaster(folder) == server
        assert user.leaves() == 0


@pytest.mark.slow
def test_a_half_initialized_cluster_is_initialized_again(tmp_path: Path) -> None:
    (tmp_path / "data.new/base").mkdir(parents=True)
    (tmp_path / "data.new/PG_VERSION").write_text("18\n")
    with running_postgres(tmp_path) as url:
        assert sql(url, "SELECT 1") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a path with spaces", "/".join(["long" * 40] * 3)], ids=["spaces", "long"]
)
def test_postgres_works_in_any_private_folder(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    with running_postgres(tmp_path / name) as url:
        assert sql(url, "SELECT 1") == [(1,)]
    for parent in tmp_path, tmp_path.parent:
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700


@pytest.mark.slow
@as_root
def test_an_unprivileged_user_can_run_postgres() -> None:
    plain = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    initdb = development._packages() / development.POSTGRES / "bin/initdb"
    if subprocess.run([*plain, "test", "-x", initdb]).returncode:
        pytest.skip(f"a plain user can't reach {initdb}: put the project outside of root's home")
    # The interpreter may be in root's home, so allow reading there, and nothing else.
    plain += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        with using(Path(home) / "postgres", *plain) as user:
            assert user.is_served()
            server = postmaster(Path(home) / "postgres")
            assert server is not None
            assert set(server.uids()) == {65534}
            assert user.leaves() == 0
        assert postmaster(Path(home) / "postgres") is None


@pytest.mark.slow
def test_variables_for_other_databases_are_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with using(folder) as user:
        assert user.is_served()
        monkeypatch.setenv("PGDATABASE", "nowhere")
        monkeypatch.setenv("PGPORT", "6543")
        with running_postgres(folder) as url:
            monkeypatch.undo()
            assert notes(url) == [("kept",)]
        assert user.leaves() == 0


@pytest.mark.parametrize("trap", ["link", pytest.param("foreign", marks=as_root)])
def test_the_socket_folder_of_another_user_is_not_used(tmp_path: Path, trap: str) -> None:
    (tmp_path / "data").mkdir()
    place = development._Server(tmp_path).socket
    try:
        if trap == "link":
            place.symlink_to(tmp_path)
        else:
            place.mkdir()
            os.chown(place, 4321, 4321)
        with (
            pytest.raises(SystemExit, match=f"{place} belongs to another user"),
            running_postgres(tmp_path),
        ):
            pass
        assert place.exists()
    finally:
        if place.is_symlink():
            place.unlink()
        shutil.rmtree(place, ignore_errors=True)


def test_without_the_wheel_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent_wheel(monkeypatch)
    with pytest.raises(SystemExit, match=r"^DATABASE_URL is required.*uv sync"):
        running_postgres(tmp_path).__enter__()


def test_a_failed_initdb_is_reported_and_leaves_no_cluster_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initdb = tmp_path / development.POSTGRES / "bin/initdb"
    initdb.parent.mkdir(parents=True)
    initdb.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    initdb.chmod(0o755)
    monkeypatch.setattr(development, "_packages", lambda: tmp_path)
    with pytest.raises(SystemExit, match=r"can't be made: no room"):
        running_postgres(tmp_path / "folder").__enter__()
    assert not (tmp_path / "folder/data").exists()


def test_a_database_url_is_used_unchanged_and_without_one_a_server_is_started(
    folder: Path, postgres: URL, tmp_path: Path
) -> None:
    with database_url(make_settings(postgres)) as url:
        assert (url.database, url.query["host"]) == (postgres.database, postgres.query["host"])
    (tmp_path / "postgres").symlink_to(folder)
    with database_url(make_settings(postgres, database_url=None, data_dir=tmp_path)) as url:
        assert notes(url) == [("kept",)]
        assert ROOT not in folder.parents
