"""The steps in CONTRIBUTING.md for a new field are complete."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest
from sqlalchemy.engine import URL

from config import ROOT
from tests.support.processes import PATIENCE, environment
from tests.support.services import database_of_its_own

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^   ```python\n   # (\w+\.py)(?:, class (\w+))?\n(.*?)^   ```$", re.M | re.S)
NOT_NEEDED = shutil.ignore_patterns(".*", "benchmarks", "node_modules", "docs", "fuzz", "http1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with its tests."""
    return Path(shutil.copytree(ROOT, tmp_path / "project", ignore=NOT_NEEDED))


@pytest.fixture
def empty(postgres: URL) -> Iterator[str]:
    with database_of_its_own(postgres, tables=False) as url:
        yield url.render_as_string(hide_password=False)


def add(code: str, file: Path, class_name: str | None) -> None:
    """Add lines below the imports of a module, or below the last field of a class."""
    source = file.read_text()
    body = ast.parse(source).body
    place = [each for each in body if isinstance(each, ast.Import | ast.ImportFrom)][-1].end_lineno
    if class_name is not None:
        [found] = [
            each for each in body if isinstance(each, ast.ClassDef) and each.name == class_name
        ]
        place = [each for each in found.body if isinstance(each, ast.AnnAssign)][-1].end_lineno
        code = indent(code, "    ")
    assert place is not None
    lines = source.splitlines(keepends=True)
    file.write_text("".join([*lines[:place], code, *lines[place:]]))


def run(project: Path, url: str, *command: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=environment(database_url=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * PATIENCE,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


def test_the_documented_steps_for_a_new_field_are_complete(project: Path, empty: str) -> None:
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert len(blocks) == 6
    for name, class_name, code in blocks:
        add(dedent(code), project / name, class_name or None)
    run(project, empty, "alembic", "upgrade", "head")
    run(project, empty, "alembic", "revision", "--autogenerate", "-m", "add two fields")
    [migration] = (project / "migrations/versions").glob("*_add_two_fields.py")
    assert re.search(r"create_check_constraint\(\s*\"tasks_priority\"", migration.read_text())
    run(project, empty, "ruff", "check", str(migration))
    files = ["tests/test_fields.py", "tests/tasks/test_serialization.py", "tests/test_table.py"]
    options = ["-v", "-p", "no:cacheprovider", "--no-cov", "--partitioned", empty]
    said = run(project, empty, "pytest", *options, *files)
    assert re.search(r"^=+ \d+ passed in", said, re.M), said
    for field in ("priority", "due_date"):
        assert len(re.findall(rf"test_fields.py::.*{field}.* PASSED", said)) == 5
