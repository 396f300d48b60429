"""The fixture that the tests of the MCP server share."""

from collections.abc import Iterator

import pytest

from tests.mcp_server.clients import http_server


@pytest.fixture(scope="session")
def mcp_url(base_url: str) -> Iterator[str]:
    """The URL of an MCP server for the service that most tests share."""
    with http_server(base_url) as url:
        yield url
