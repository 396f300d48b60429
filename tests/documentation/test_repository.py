"""The files around the code: they name existing files, and run the scripts that people run."""

import os
import re

import pytest
import yaml

from config import ROOT
from tests.documentation.files import repository_files

WORKFLOW = ROOT / ".github/workflows/checks.yml"
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
TOP = {path.name for path in ROOT.iterdir()}


def test_every_path_in_the_documentation_exists() -> None:
    missing = [
        f"{page}: {name}"
        for page, text in repository_files()
        if page.suffix == ".md" and page.name != "CHANGELOG.md"
        for name in NAMED.findall(text)
        if name.partition("/")[0] in TOP and not (ROOT / name).exists()
    ]
    assert not missing


def test_the_workflow_runs_scripts_of_the_repository() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands == ["scripts/check", "scripts/test", ".ci/run"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_the_workflow_pins_its_actions_to_commits() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    actions = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.search("@[0-9a-f]{40}$", action) for action in actions)


def hooks() -> list[str]:
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    return [hook["entry"].replace(" --force-exclude", "") for hook in local["hooks"]]


@pytest.mark.parametrize("command", hooks())
def test_every_pre_commit_hook_is_part_of_scripts_check(command: str) -> None:
    script = (
        (ROOT / "scripts/check").read_text().replace(" --check .", "").replace("check .", "check")
    )
    assert command in script


def test_every_image_that_is_built_on_has_a_digest() -> None:
    lines = [
        line
        for path, text in repository_files()
        if path.name == "Dockerfile"
        for line in text.splitlines()
        if line.startswith(("FROM ", "COPY --from=ghcr.io/"))
    ]
    assert len(lines) == 6
    assert all(re.search(r":[\w.-]+@sha256:[0-9a-f]{64}( |$)", line) for line in lines), lines
