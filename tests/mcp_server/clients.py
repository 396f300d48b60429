"""The MCP server over HTTP in a thread, and the SDK's client for both transports."""

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx2
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from starlette.types import ASGIApp

from config import ROOT
from mcp_server.remote import http_app
from mcp_server.settings import HttpSettings
from tests.support.processes import environment
from tests.support.services import NO_TLS
from tests.support.serving import SECRET
from tokens.verifier import make_token

ISSUER = "https://app.example.com/api/auth"
ERAS = ("legacy", "2026-07-28")  # the protocol of 2025 with a handshake, and the one without

Value = TypeVar("Value")


@contextmanager
def http_server(api: str, port: int = 0, **settings: Any) -> Iterator[str]:
    """Run an MCP server for the API at `api`, and yield its URL."""

    def app_at(url: str) -> ASGIApp:
        values = {"tasks_api_url": api, "mcp_url": f"{url}/mcp", "mcp_issuer": ISSUER, **settings}
        return http_app(HttpSettings(_env_file=None, **values))

    with serving_asgi(app_at, port) as url:
        yield f"{url}/mcp"


@contextmanager
def serving_asgi(app_at: Callable[[str], ASGIApp], port: int = 0) -> Iterator[str]:
    """Serve an ASGI application in a thread, by default on a free port, and yield its base URL."""
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app_at(url), log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the MCP server did not start"
            thread.join(0.01)
        yield url
    finally:
        server.should_exit = True
        thread.join(15)


@asynccontextmanager
async def over_http(url: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, verify=NO_TLS) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def over_stdio(api: str, token: str, mode: str = "auto") -> Client:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server"],
        cwd=ROOT,
        env=environment(tasks_api_url=api, tasks_token=token),
    )
    return Client(parameters, mode=mode)


def token_of(user_id: str, **claims: Any) -> str:
    return make_token(user_id, SECRET, **claims)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool, check that it succeeds, and return its structured result."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert not result.is_error, text_of(result)
    structured: dict[str, Any] | None = result.structured_content
    assert structured is not None
    return structured


async def error_of(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool, check that it fails, and return the text that the assistant reads."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert result.is_error
    return text_of(result)


def text_of(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def run(function: Callable[[], Awaitable[Value]]) -> Value:
    async def main() -> Value:
        return await function()

    return asyncio.run(main())
