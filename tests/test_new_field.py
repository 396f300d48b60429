"""The steps in CONTRIBUTING.md for a new field are complete."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from sqlalchemy.engine import URL

from config import ROOT
from tests.support.processes import PATIENCE, environment
from tests.support.services import database_of_its_own

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^   ```python\n   # (\w+\.py)(?:, class (\w+))?\n(.*?)^   ```$", re.M | re.S)
# Tests that send, store or expect whole tasks. They must not depend on the fields.
OTHERS = (
    "tests/routing/test_openapi.py",
    "tests/tasks/test_conversion.py",
    "tests/tasks/test_serialization.py",
    "tests/test_client_shapes.py",
)
WITH_SMALL_TASKS = (
    *OTHERS,
    "tests/postgres/test_prepared.py",
    "tests/postgres/test_prepared_values.py",
    "tests/tasks/test_large_lists.py",
    "tests/test_access.py",
    "tests/test_table.py",
)
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
        timeout=6 * PATIENCE,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
# The column, the type of its field, an example, and the default.
KINDS: dict[str, tuple[str, str, Any, Any]] = {
    "tags": ("kinds.JSONB", "list[str]", ["a", "b"], []),
    "extra": ("kinds.JSONB", "dict[str, kinds.Any]", {"a": [1, None]}, {}),
    "place": ("kinds.JSONB", "kinds.Place", {"name": "Bonn", "since": "2026-01-31"}, None),
    "days": ("sa.ARRAY(sa.Date)", "list[kinds.date]", ["2026-01-31"], []),
    "words": ("sa.ARRAY(sa.Text)", "list[str]", ["%", "'"], []),
    "keys": ("sa.ARRAY(sa.Uuid)", "list[kinds.UUID]", [KEY], []),
    "external_id": ("sa.Uuid", "kinds.UUID", KEY, None),
    "due_date": ("sa.Date", "kinds.date", "2026-01-31", None),
    "due_time": ("sa.Time", "kinds.time", "12:30:00", None),
    "due_at": (
        "sa.DateTime(timezone=True)",
        "kinds.datetime",
        "2026-01-31T12:30:00.000000Z",
        None,
    ),
    "length": ("sa.Interval", "kinds.timedelta", "P1DT1H30M", None),
    "feeling": ("sa.Enum(kinds.Mood, native_enum=False, length=9)", "kinds.Mood", "good", None),
    "tone": ("sa.Text", "kinds.Mood", "bad", None),
    "picture": ("sa.LargeBinary", "bytes", "%\x01é", None),
    "price": ("sa.Numeric", "kinds.Decimal", "1.50", None),
    "weight": ("sa.Numeric", "float", 1.5, None),
}
TYPES = """\
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum as PythonEnum
from typing import Any
from uuid import UUID
from pydantic import BaseModel, Field
from sqlalchemy.dialects.postgresql import JSONB


class Mood(PythonEnum):
    GOOD = "good"
    BAD = "bad"


class Place(BaseModel):
    name: str = Field(examples=["Bonn"])
    since: date = Field(examples=["2026-01-31"])
"""


def add_kinds(project: Path) -> None:
    """Add a field of each kind to the project."""
    (project / "kinds.py").write_text(TYPES)
    for module in ("models.py", "schemas.py"):
        add("import kinds\nimport sqlalchemy as sa\n", project / module, None)
    for name, (column, kind, example, default) in KINDS.items():
        none = " | None" if default is None else ""
        value = json.dumps(default) if "JSONB" in column else "{}"
        options = "" if none else f", sa_column_kwargs={{'server_default': {value!r}}}"
        field = f"Field(default={default!r}, sa_type={column}{options})"
        typed = f"Annotated[{kind}, Field(examples=[{example!r}])]"
        for module, class_name, code in (
            ("models.py", "Task", f"{kind}{none} = {field}"),
            ("schemas.py", "TaskCreate", f"{typed}{none} = {default!r}"),
            ("schemas.py", "TaskUpdate", f"{typed} | MISSING{none} = MISSING"),
            ("schemas.py", "TaskResponse", f"{typed}{none}"),
        ):
            add(f"{name}: {code}\n", project / module, class_name)


def test_a_field_may_have_any_of_these_types(project: Path, empty: str) -> None:
    add_kinds(project)
    run(project, empty, "alembic", "upgrade", "head")
    run(project, empty, "alembic", "revision", "--autogenerate", "-m", "add all kinds")
    files = ["tests/test_fields.py", *OTHERS]
    options = ["-v", "-p", "no:cacheprovider", "--no-cov", "--partitioned", empty]
    said = run(project, empty, "pytest", *options, *files)
    for field in KINDS:
        assert len(re.findall(rf"test_fields.py::.*\[.*{field}.* PASSED", said)) == 5, field


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
    files = ["tests/test_fields.py", *WITH_SMALL_TASKS]
    options = ["-v", "-p", "no:cacheprovider", "--no-cov", "--partitioned", empty]
    said = run(project, empty, "pytest", *options, *files)
    assert re.search(r"^=+ \d+ passed in", said, re.M), said
    for field in ("priority", "due_date"):
        assert len(re.findall(rf"test_fields.py::.*{field}.* PASSED", said)) == 5
