"""The configurations, the session and the versions in docs/assistants.md are correct."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from config import ROOT
from mcp_server.settings import HttpSettings
from mcp_server.transcript import session
from tests.mcp_server.clients import call, over_http, run, token_of
from tests.mcp_server.page import SESSION, TEXT, configuration
from tests.parts.parts import ASSISTANTS, need
from tests.support.processes import environment
from tests.support.services import NO_TLS


@pytest.mark.parts
def test_the_block_for_stdio_starts_a_server(base_url: str, alice: str) -> None:
    need("uv")
    shown = configuration("stdio", token_of(alice))
    arguments = [str(ROOT) if each.startswith("/path/to") else each for each in shown["args"]]
    # `--no-sync` keeps uv from changing the environment of the tests, which already has the extra.
    command = {"command": shown["command"], "args": ["run", "--no-sync", *arguments[1:]]}
    variables = environment(**shown["env"]) | {"TASKS_API_URL": base_url}

    async def used() -> dict[str, Any]:
        async with Client(StdioServerParameters(**command, env=variables)) as client:
            return await call(client, "add_task", title="Buy milk")

    assert run(used)["title"] == "Buy milk"


def test_the_block_for_http_connects_to_a_server(mcp_url: str, alice: str) -> None:
    shown = configuration("http", token_of(alice))
    assert (shown["type"], shown["url"]) == ("http", HttpSettings.model_fields["mcp_url"].default)

    async def used() -> dict[str, Any]:
        async with (
            httpx2.AsyncClient(headers=shown["headers"], verify=NO_TLS) as http,
            Client(streamable_http_client(mcp_url, http_client=http)) as client,
        ):
            return await call(client, "add_task", title="Buy milk")

    assert run(used)["title"] == "Buy milk"


def test_both_json_blocks_are_tested_here() -> None:
    assert len(re.findall(r"^```json [a-z]", TEXT, re.M)) == 2


def test_the_session_on_the_page_is_what_the_command_prints(
    mcp_url: str, alice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def printed() -> None:
        async with over_http(mcp_url, token_of(alice)) as client:
            await session(client)

    capsys.readouterr()
    asyncio.run(printed())
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[20")]
    assert list(shape("\n".join(lines))) == list(shape(SESSION))


def shape(text: str) -> Iterator[str]:
    """Yield the lines without ids and times, which differ from one run to the next."""
    for line in text.strip().splitlines():
        without_times = re.sub(r'"\d{4}-\d{2}-\d{2}T[\d:.]+Z"', "TIME", line)
        yield re.sub(r'("(?:task_)?id": )\d+', r"\1ID", without_times)


def test_the_page_names_the_tested_version_of_the_plugin() -> None:
    manifest = json.loads((ASSISTANTS / "package.json").read_text())["dependencies"]
    names = ("@better-auth/mcp", "better-auth", "@better-auth/core")
    assert {manifest[name] for name in names} == {"1.7.5"}
    assert "`@better-auth/mcp` 1.7.5 requires" in TEXT


def test_the_lock_file_of_these_packages_names_no_registry() -> None:
    assert '"resolved"' not in (ASSISTANTS / "package-lock.json").read_text()
