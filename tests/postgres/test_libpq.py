"""If libpq can't cancel statements, the service does not start, and prints one sentence."""

import ctypes.util
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg2 import _psycopg, extensions

from postgres import libpq
from tests.support.processes import environment, sources

SENTENCE = (
    "psycopg2 is linked to libpq {}, which has no PQcancelCreate: the service needs "
    "libpq 17 or newer to cancel statements. Install the wheel of psycopg2-binary, which "
    "contains it, in place of a psycopg2 that was built from source."
)


def test_a_library_without_pqcancelcreate_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    libc = ctypes.util.find_library("c")
    assert libc is not None
    monkeypatch.setattr(libpq, "libpq_version", lambda: 15_00_18)

    with pytest.raises(SystemExit) as refused:
        libpq.load_libpq(libc)

    assert refused.value.code == SENTENCE.format("15.18")


def test_the_libpq_of_the_wheel_is_new_enough() -> None:
    assert extensions.libpq_version() >= 17_00_00
    assert libpq.load_libpq(_psycopg.__file__).PQcancelCreate


def _libpq_to_build_with() -> str:
    """Return the version of the local libpq, or skip the test if none can be built with."""
    if not (shutil.which("pg_config") and shutil.which("cc") and shutil.which("uv")):
        pytest.skip("needs uv, a C compiler and libpq-dev")
    answer = subprocess.run(["pg_config", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+", answer.stdout)
    assert found is not None, answer.stdout
    if float(found[0]) >= 17:
        pytest.skip("libpq-dev is 17 or newer")
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("command", [["main.py"], ["auth.py", "alice"], ["-m", "alembic", "check"]])
def test_psycopg2_built_with_an_older_libpq_is_refused_in_one_sentence(
    psycopg2_from_source: tuple[Path, str], command: list[str]
) -> None:
    folder, version = psycopg2_from_source
    done = subprocess.run(
        [sys.executable, *command],
        cwd=sources(),
        env=environment() | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == SENTENCE.format(version) + "\n"


@pytest.fixture(scope="module")
def psycopg2_from_source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a psycopg2 that is built from source, and the version of its libpq."""
    version = _libpq_to_build_with()
    folder = tmp_path_factory.mktemp("psycopg2")
    release = f"psycopg2=={importlib.metadata.version('psycopg2-binary')}"
    install = ["uv", "pip", "install", "--python", sys.executable, "--no-deps"]
    subprocess.run(
        [*install, "--target", str(folder), "--no-binary", "psycopg2", release],
        env=os.environ,
        check=True,
    )
    return folder, version
