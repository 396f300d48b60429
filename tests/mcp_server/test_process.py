"""The MCP server as a process: how it starts and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from config import ROOT
from tests.mcp_server.clients import token_of
from tests.support.processes import environment, free_port, until

INITIALIZE = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": '
    b'"2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}\n'
)


@contextmanager
def process(*arguments: str, **settings: object) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "mcp_server", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def test_ctrl_c_ends_a_server_that_waits_on_stdin() -> None:
    with process(tasks_token=token_of("alice")) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        os.write(server.stdin.fileno(), INITIALIZE)
        assert b"serverInfo" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == -signal.SIGINT


def test_the_services_number_of_processes_does_not_keep_the_http_server_from_starting() -> None:
    port = free_port()
    metadata = f"http://127.0.0.1:{port}/.well-known/oauth-protected-resource"

    def responds() -> bool:
        assert server.poll() is None, "the server ended"
        with suppress(httpx.TransportError):
            return httpx.get(metadata).status_code == 200
        return False

    settings = {"web_concurrency": 2, "mcp_port": port, "better_auth_url": "https://a.example.com"}
    with process("http", **settings) as server:
        until(responds, "the MCP server")
