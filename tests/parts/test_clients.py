"""The types of docs/frontend/tasks.ts, and the OpenAPI document's conformance with lint rules."""

import json
import shutil
from pathlib import Path

import pytest

from config import ROOT
from tests.parts.node import run, succeeds
from tests.parts.parts import need
from tests.parts.snippets import in_module, snippet

pytestmark = pytest.mark.parts

LOGIN = 'export const apiUrl = "";\nexport const token = async () => "";\n'


def test_the_types_of_tasks_ts_match_the_document(folder: Path) -> None:
    need("openapi-typescript", "TypeScript")
    shutil.copy(ROOT / "docs/frontend/tasks.ts", folder)
    (folder / "auth-client.ts").write_text(LOGIN)
    code = snippet("docs/typescript-client.md", "tasks.create(")
    (folder / "snippet.ts").write_text(in_module(code))
    document = ("openapi.json", "--output", "tasks-api.d.ts", "--default-non-nullable=false")
    succeeds(folder, "openapi-typescript", *document)
    # The project includes mistakes.ts, where the compiler must find every error.
    succeeds(folder, "tsc", "--project", ".")


def test_the_document_passes_the_recommended_rules_of_redocly(folder: Path) -> None:
    need("Redocly CLI")
    done = run(folder, "redocly", "lint", "openapi.json", "--format", "json")
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert (done.returncode, found["problems"]) == (0, [])
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
