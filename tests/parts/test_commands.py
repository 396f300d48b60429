"""Every command in the documentation runs, as it is written, in a new clone of the repository."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from config import ROOT
from tests.parts.commands import Commands, commands_of, documented, filled
from tests.parts.neon import USER, Neon
from tests.parts.parts import CLIENTS, need
from tests.support.processes import environment, free_port, until
from tests.support.services import sql

pytestmark = pytest.mark.parts

ALL = list(documented())
TIME_LIMIT = 600  # seconds, enough for benchmarks and type checks on a busy machine


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository with the files that a new clone has."""
    ignored = (ROOT / ".gitignore").read_text().replace("/", "").split()
    private = shutil.ignore_patterns(".git", *ignored)
    return Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=private))


@pytest.fixture
def variables(copy: Path, neon: Neon) -> dict[str, str]:
    """The environment variables of a new terminal, with a free port and a configuration of curl."""
    ours = Path(sys.prefix) / "bin"
    path = [part for part in os.environ["PATH"].split(":") if Path(part) != ours]
    # Make curl print the status, and fail if it is an error.
    (copy.parent / ".curlrc").write_text(
        'silent\nfail-with-body\nwrite-out = "\\n%{http_code}\\n"\n'
    )
    bare = environment(port=free_port()) | {"PATH": ":".join(path), "CURL_HOME": str(copy.parent)}
    return {name: value for name, value in bare.items() if name not in ("VIRTUAL_ENV", "RECORD")}


def run(script: str, folder: Path, variables: dict[str, str]) -> str:
    """Run `script` as a terminal would, but stop at the first command that fails."""
    process = subprocess.Popen(
        ["sh", "-eu", "-c", script.replace("localhost:8000", f"localhost:{variables['PORT']}")],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


@contextmanager
def served(copy: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run the first command of the README while the context is open."""
    url = f"http://localhost:{variables['PORT']}/health"

    def responds() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(url).status_code == 200
        return False

    with subprocess.Popen(["uv", "run", "main.py"], cwd=copy, env=variables) as process:
        try:
            until(lambda: responds() or process.poll() is not None, "the service")
            yield
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("commands", ALL, ids=str)
def test_a_documented_command_works(
    commands: Commands, copy: Path, variables: dict[str, str], neon: Neon
) -> None:
    need("uv", "curl")
    script = commands.runnable()
    folder = copy
    if "ENVIRONMENT=production" in script:
        sql(neon.superuser, "DROP TABLE IF EXISTS tasks, idempotency_keys, alembic_version")
        variables["MIGRATION_DATABASE_URL"] = (
            f"{neon.direct}?sslmode=verify-full&sslrootcert={neon.authority}"
        )
        if "alembic" not in script:  # the page assumes a migrated database
            run("uv run alembic upgrade head", copy, variables)
        script = filled(script, neon)
    if "pg_restore" in script:
        variables |= restored(neon)
    if "benchmarks/" in script:
        need("wrk")
    if "npm " in script:
        need("Node.js")
    if "newman" in script:
        need("newman")
    if "test-debian" in script:
        need("debootstrap")
    if re.search("npm install|npx --yes openapi", script):  # runs in the frontend's folder
        folder = copy.parent / "frontend"
        (folder / "src").mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(CLIENTS / name, folder)  # so that npm installs the locked versions
        shutil.copytree(CLIENTS / "node_modules", folder / "node_modules", symlinks=True)
    if "localhost:8000" in script:
        with served(copy, variables):
            output = run(script, folder, variables)
    else:
        output = run(script, folder, variables)
    check(script, output, copy)


def restored(neon: Neon) -> dict[str, str]:
    """Empty the database, create another one for the restored backup, and return both URLs."""
    sql(neon.superuser, "DROP TABLE IF EXISTS tasks, idempotency_keys, alembic_version")
    sql(neon.superuser, "DROP DATABASE IF EXISTS restored")
    sql(neon.superuser, f"CREATE DATABASE restored OWNER {USER}")
    there = neon.direct.rpartition("/")[0]
    return {
        "MIGRATION_DATABASE_URL": f"{neon.direct}?sslmode=require",
        "RESTORED_DATABASE_URL": f"{there}/restored?sslmode=require",
    }


def check(script: str, output: str, copy: Path) -> None:
    """Check the results of a command, beyond its exit code."""
    if "curl -X POST" in script:
        assert re.findall(r"^\d{3}$", output, re.M) == ["201", "200", "200", "200", "200", "204"]
        assert '"title":"Buy oat milk"' in output.replace(": ", ":")
    if "pytest" in script or "scripts/test" in script:
        assert re.search(r"^\d+ passed", output, re.M)
        assert not re.search(r"\d failed", output)
    if message := re.search('alembic revision .* -m "([^"]+)"', script):
        name = message[1].replace(" ", "_")
        assert list((copy / "migrations/versions").glob(f"*_{name}.py"))
    if "pg_restore" in script:
        assert output.splitlines()[-1].startswith("Up to date at ")
    if "openapi-typescript" in script:
        assert "listTasks" in (copy.parent / "frontend/tasks-api.d.ts").read_text()


def test_the_curl_commands_of_the_readme_are_the_six_operations_in_order() -> None:
    [block] = [commands for commands in ALL if "curl -X POST" in commands.text]
    calls = [line.split() for line in block.lines if line.startswith("curl")]
    seen = [(words[2], words[3]) if words[1] == "-X" else ("GET", words[1]) for words in calls]
    assert seen == [
        ("POST", "$TASKS"),
        ("GET", "$TASKS"),
        ("GET", "$TASKS/1"),
        ("PUT", "$TASKS/1"),
        ("PATCH", "$TASKS/1/complete"),
        ("DELETE", "$TASKS/1"),
    ]


def test_a_command_without_a_rule_is_found() -> None:
    text = "Type `uv run nothing.py`, or `scripts/nothing`:\n```sh\nmake it  # so\n```\n"
    found = list(commands_of("page.md", text))
    assert [commands.lines for commands in found] == [
        ["make it"],
        ["uv run nothing.py"],
        ["scripts/nothing"],
    ]
    for commands in found:
        with pytest.raises(KeyError, match="no rule"):
            commands.runnable()
