"""Clients that are made of the OpenAPI document: TypeScript's, and a Postman collection."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from config import ROOT
from tests.parts.parts import CLIENTS, need
from tests.support.serving import SECRET
from tokens.verifier import make_token

pytestmark = pytest.mark.parts

PAGE = ROOT / "docs/typescript-client.md"
QUIET = {
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    "NO_UPDATE_NOTIFIER": "1",
}


@pytest.fixture
def folder(anonymous: httpx.Client, tmp_path: Path) -> Path:
    """A frontend's folder: the packages, our sources, and the document as it is served."""
    need("Node.js")
    for file in CLIENTS.iterdir():
        if file.name not in ("node_modules", "package-lock.json"):
            (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    (tmp_path / "openapi.json").write_text(anonymous.get("/openapi.json").text)
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the packages' programs, or `node`."""
    program = folder / "node_modules/.bin" / command[0]
    return subprocess.run(
        [program if program.exists() else command[0], *command[1:]],
        cwd=folder,
        env={**os.environ, **QUIET, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeeds(folder: Path, *command: str, **variables: str) -> str:
    done = run(folder, *command, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown_files() -> dict[str, str]:
    """The files that the page shows; each begins with its name."""
    blocks: list[str] = re.findall(r"^```ts\n// src/(.+?)```$", PAGE.read_text(), re.M | re.S)
    return dict(block.split("\n", 1) for block in blocks)


def test_the_client_of_the_page_compiles_and_runs_all_six_operations(
    folder: Path, base_url: str, alice: str, bob: str
) -> None:
    need("openapi-typescript", "openapi-fetch", "TypeScript")
    files = shown_files()
    assert list(files) == ["tasks.ts", "example.ts"]
    for name, text in files.items():
        (folder / name).write_text(text)
    succeeds(folder, "openapi-typescript", "openapi.json", "--output", "tasks-api.d.ts")
    succeeds(folder, "tsc", "--strict", "--project", ".")  # with mistakes.ts, which it must find
    variables = {"BASE_URL": base_url, "USER_ID": alice}
    tokens = {"TOKEN": make_token(alice, SECRET), "OTHER_TOKEN": make_token(bob, SECRET)}
    said = succeeds(folder, "node", "build/all-operations.js", **variables, **tokens)
    assert said == "all six operations\n"


def test_the_document_passes_the_rules_that_redocly_recommends(folder: Path) -> None:
    need("Redocly CLI")
    done = run(folder, "redocly", "lint", "openapi.json", "--format", "json")
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert (done.returncode, found["problems"]) == (0, [])
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_a_postman_collection_runs_green(folder: Path, base_url: str, alice: str) -> None:
    need("openapi-to-postmanv2", "newman")
    succeeds(folder, "node", "collection.cjs", "openapi.json", "collection.json")
    values = {
        "baseUrl": base_url,
        "bearerToken": make_token(alice, SECRET),
        "userId": alice,
    }
    words = [word for pair in values.items() for word in ("--env-var", "=".join(pair))]
    report = ("--reporters", "json", "--reporter-json-export", "report.json")
    done = run(folder, "newman", "run", "collection.json", *words, *report)
    result = json.loads((folder / "report.json").read_text())["run"]
    answers = {each["item"]["name"]: each["response"]["code"] for each in result["executions"]}
    assert answers == {
        "Create a task": 201,
        "List tasks": 200,
        "Get a task": 200,
        "Update a task": 200,
        "Toggle completion": 200,
        "Delete a task": 204,
        "Check the service and its database": 200,
        "Check the process alone": 200,
    }
    assert (done.returncode, result["failures"]) == (0, [])
    assert result["stats"]["assertions"] == {"total": 8, "pending": 0, "failed": 0}
