"""Print an MCP session as Markdown: `python -m mcp_server.transcript` with TASKS_TOKEN.

The session adds two tasks to the list of the token's user, and deletes them at the end.
"""
# ruff: noqa: T201

import asyncio
import json
import os
import sys
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from mcp_server.settings import ROOT

Step = tuple[str, dict[str, Any]]


async def session(client: Client) -> None:
    """List the tools, then add, search, complete, count and delete tasks."""
    print(f"Connected by MCP {client.protocol_version}.\n")
    print("| tool | hints | what it does |\n| --- | --- | --- |")
    for tool in (await client.list_tools()).tools:
        hints = tool.annotations
        assert hints is not None
        flags = {
            "read-only": hints.read_only_hint,
            "destructive": hints.destructive_hint,
            "idempotent": hints.idempotent_hint,
        }
        said = ", ".join(name for name, is_set in flags.items() if is_set)
        print(f"| `{tool.name}` | {said} | {(tool.description or '').splitlines()[0]} |")
    milk = await _call(client, "add_task", title="Buy milk", description="Two litres")
    taxes = await _call(client, "add_task", title="File taxes")
    await _call(client, "list_tasks", search="MILK")
    await _call(client, "complete_task", task_id=milk["id"])
    await _call(client, "task_stats")
    await _call(client, "delete_task", task_id=milk["id"])
    await _call(client, "delete_task", task_id=taxes["id"])
    await _call(client, "get_task", task_id=milk["id"])


async def _call(client: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool, print both directions, and return the result."""
    result = await client.call_tool(tool, arguments)
    print(f"\n`{tool}` with\n\n```json\n{json.dumps(arguments)}\n```\n")
    if result.is_error:
        texts = [part.text for part in result.content if isinstance(part, TextContent)]
        print(f"is an error:\n\n```text\n{' '.join(texts)}\n```")
    else:
        print(f"returns\n\n```json\n{json.dumps(result.structured_content, indent=2)}\n```")
    return result.structured_content


async def main() -> None:
    """Start the server on stdin and stdout, as an assistant does."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_server"], cwd=ROOT, env=dict(os.environ)
    )
    async with Client(server) as client:
        await session(client)


if __name__ == "__main__":
    asyncio.run(main())
