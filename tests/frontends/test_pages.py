"""The pages show exactly the files that the other tests run. Node is not needed here."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from config import ROOT
from tests.frontends.apps import CREATE, MIGRATE, SERVERS
from tests.frontends.pages import FOLDER, TEXT, blocks, places
from tests.parts.parts import BETTER_AUTH, FRONTENDS

COPYING = re.compile(r"^```sh\n((?:mkdir|cp) .*?)^```$", re.M | re.S)


def test_the_pages_show_every_file_unchanged() -> None:
    files = {
        str(path.relative_to(FOLDER)): path.read_text()
        for path in FOLDER.rglob("*.ts*")
        if "node_modules" not in path.parts
    }
    assert {name: text for name, text in blocks().items() if ".ts" in name} == files


def test_every_file_has_a_place_in_a_frontend() -> None:
    placed = {*places("vite"), *places("next")}
    assert placed == {name for name in blocks() if ".ts" in name} - {"shared-secret/auth.ts"}


@pytest.mark.parametrize("framework", ["vite", "next"])
def test_the_commands_copy_every_file_to_its_path(framework: str, tmp_path: Path) -> None:
    """The folder `src` or `app` already exists, as it does in the framework's template."""
    (tmp_path / {"vite": "src", "next": "app"}[framework]).mkdir()
    [block] = [text for text in COPYING.findall(TEXT) if f"/{framework}/" in text]
    script = block.replace("../tasks-web", str(tmp_path))
    subprocess.run(["sh", "-eu", "-c", script], cwd=ROOT, check=True)
    copied = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path): path.read_text() for path in copied} == {
        place: blocks()[name] for name, place in places(framework).items()
    }


def test_the_page_names_the_tested_version_of_better_auth() -> None:
    for folder in (BETTER_AUTH, FRONTENDS):
        manifest = json.loads((folder / "package.json").read_text())
        assert f"| Better Auth | {manifest['dependencies']['better-auth']} |" in TEXT


@pytest.mark.parametrize("folder", [BETTER_AUTH, FRONTENDS])
def test_the_lock_file_names_no_registry(folder: Path) -> None:
    assert '"resolved"' not in (folder / "package-lock.json").read_text()


def test_the_browser_tests_run_the_commands_of_the_page() -> None:
    vite = CREATE["vite"].replace("create-vite tasks-web", "npm create vite@latest tasks-web --")
    followed = CREATE["next"].removesuffix(" --skip-install --disable-git")
    following = followed.replace("create-next-app", "npx create-next-app@latest")
    steps = [vite, following, f"npx {MIGRATE}", f"npx {SERVERS['vite'][0]}", "npm run dev"]
    assert [step for step in steps if f"```sh\n{step}\n```" not in TEXT] == []


def test_the_example_has_the_client_of_the_page() -> None:
    example = ROOT / "examples/frontend/src/tasks.ts"
    assert example.read_text() == (FOLDER / "tasks.ts").read_text()


def test_the_page_deletes_an_account_as_the_example_does() -> None:
    """The tests of the example delete an account, so they cover the code on the page too."""
    auth = ROOT / "examples/auth"
    section = TEXT.partition("## When a user deletes the account\n")[2].partition("\n## ")[0]
    file, *parts = re.findall(r"^```ts\n(.*?)^```$", section, re.M | re.S)
    assert file == (auth / "erase-tasks.ts").read_text()
    assert len(parts) == 2
    assert [part for part in parts if part not in (auth / "auth.ts").read_text()] == []
