"""What the service must not import: what has a vulnerability that nobody will repair, and MCP."""

import subprocess
import sys

import pytest

from tests.support.processes import environment, sources

# ecdsa: CVE-2024-23342, a timing attack; python-jose requires it.
VULNERABLE = ("ecdsa", "rsa", "jose.backends.cryptography_backend")
# The MCP server is a program of its own: its packages would double the memory of the service.
FOREIGN = ("mcp", "mcp_server", "mcp_types", "httpx2", "jsonschema", "sse_starlette")
FORBIDDEN = VULNERABLE + FOREIGN
IMPORT = f"""
import sys
import main
print([name for name in {FORBIDDEN} if name in sys.modules])
"""


@pytest.mark.parametrize("issuer", ["", "https://app.example.com"])
def test_the_service_imports_neither_ecdsa_nor_what_would_use_it_nor_mcp(issuer: str) -> None:
    settings = {"better_auth_url": issuer} if issuer else {}
    imported = subprocess.check_output(
        [sys.executable, "-c", IMPORT], cwd=sources(), env=environment(**settings), text=True
    )
    assert imported.strip() == "[]"
