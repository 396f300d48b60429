"""The MCP server imports nothing from the service, but has the same fields, limits and version."""

import subprocess
import sys
from typing import Any

import pytest
from mcp.types import Tool

from config import ROOT
from main import app
from mcp_server.results import Result, Stats, Task, TaskPage
from mcp_server.server import VERSION
from tests.mcp_server.clients import over_http, run, token_of
from tests.support.processes import environment

IMPORTED = "import sys, {}; print(*sorted(sys.modules))"


def loaded_by(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(module)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_mcp_server_imports_neither_the_service_nor_a_database_driver() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"mcp_server"}
    service = packages | {path.stem for path in ROOT.glob("*.py")}
    drivers = {"fastapi", "psycopg2", "sqlalchemy", "sqlmodel", "jose"}
    assert not loaded_by("mcp_server.__main__") & (service | drivers)


SCHEMAS = app.openapi()["components"]["schemas"]


@pytest.mark.parametrize(
    ("result", "schema"),
    [(Task, "TaskResponse"), (TaskPage, "TaskListResponse"), (Stats, "TaskStatsResponse")],
)
def test_every_field_of_a_result_is_a_field_of_the_apis_response(
    result: type[Result], schema: str
) -> None:
    assert set(result.model_fields) <= set(SCHEMAS[schema]["properties"])


def test_the_version_is_the_same_as_the_services() -> None:
    assert app.version == VERSION


@pytest.fixture
def tools(mcp_url: str, alice: str) -> dict[str, Tool]:
    async def listed() -> list[Tool]:
        async with over_http(mcp_url, token_of(alice)) as client:
            return (await client.list_tools()).tools

    return {tool.name: tool for tool in run(listed)}


@pytest.mark.parametrize(
    ("tool", "schema"), [("add_task", "TaskCreate"), ("update_task", "TaskUpdate")]
)
def test_arguments_have_the_same_limits_as_in_the_api(
    tools: dict[str, Tool], tool: str, schema: str
) -> None:
    for field in ("title", "description"):
        [ours] = _lengths(tools[tool].input_schema["properties"][field])
        assert [ours] == _lengths(SCHEMAS[schema]["properties"][field])


def _lengths(schema: dict[str, Any]) -> list[int]:
    """Return every maxLength of a schema, including those inside `anyOf`."""
    found = [schema["maxLength"]] if "maxLength" in schema else []
    return found + [length for part in schema.get("anyOf", ()) for length in _lengths(part)]


READS = (True, False, True)
ADDS = (False, False, False)
SETS = (False, False, True)
OVERWRITES = (False, True, True)


def test_every_tool_has_the_right_hints_and_describes_its_parameters(
    tools: dict[str, Tool],
) -> None:
    hints = {}
    for name, tool in tools.items():
        given = tool.annotations
        assert given is not None
        assert given.open_world_hint is False
        hints[name] = (given.read_only_hint, given.destructive_hint, given.idempotent_hint)
        assert tool.title
        assert tool.description
        assert tool.output_schema
        properties = tool.input_schema.get("properties", {})
        undescribed = {key for key, value in properties.items() if "description" not in str(value)}
        assert undescribed == set(), name
    assert hints == {
        "add_task": ADDS,
        "list_tasks": READS,
        "get_task": READS,
        "update_task": OVERWRITES,
        "complete_task": SETS,
        "delete_task": OVERWRITES,
        "clear_completed_tasks": OVERWRITES,
        "task_stats": READS,
    }
