"""tasks.ts in Node with the real service: tokens, retries, errors and pages."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.frontends.pages import FOLDER
from tests.parts.parts import FRONTENDS, need
from tests.support.processes import PATIENCE
from tests.support.serving import SECRET

pytestmark = pytest.mark.parts

# Replaces the module with Better Auth's client. The tests pass `url` and `token` to `createTasks`.
LOGIN = "export const apiUrl = ''\nexport const token = async () => ''\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need("Node.js")
    shutil.copy(FOLDER / "tasks.ts", tmp_path)
    shutil.copy(FRONTENDS / "client.test.ts", tmp_path)
    (tmp_path / "auth-client.ts").write_text(LOGIN)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(FRONTENDS / "node_modules")
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_client_renews_tokens_and_retries_only_safe_requests(
    folder: Path, base_url: str
) -> None:
    command = ("node", "--import", "tsx", "--test", "client.test.ts")
    run(folder, *command, SECRET=SECRET, SERVICE_URL=base_url)


@pytest.mark.parametrize("compiler", ["typescript", "typescript-5"])
@pytest.mark.parametrize(
    "options",
    [
        ("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"),
        ("--strict", "false"),
    ],
    ids=["strict", "loose"],
)
def test_the_client_compiles(folder: Path, compiler: str, options: tuple[str, ...]) -> None:
    tsc = FRONTENDS / "node_modules" / compiler / "bin/tsc"
    common = ("--noEmit", "--target", "es2022", "--module", "esnext", "--types", "node")
    resolution = ("--moduleResolution", "bundler", "--verbatimModuleSyntax", "--skipLibCheck")
    run(folder, "node", str(tsc), *common, *resolution, *options, "tasks.ts")
