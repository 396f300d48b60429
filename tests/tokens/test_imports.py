"""The service must not import MCP, or packages with a vulnerability that will not be fixed."""

import subprocess
import sys

import pytest

from tests.support.processes import environment, sources

# ecdsa is vulnerable to a timing attack (CVE-2024-23342), but python-jose requires it.
VULNERABLE = ("ecdsa", "rsa", "jose.backends.cryptography_backend")
# The MCP server is a separate program. Its packages would double the memory of the service.
FOREIGN = ("mcp", "mcp_server", "mcp_types", "httpx2", "jsonschema", "sse_starlette")
FORBIDDEN = VULNERABLE + FOREIGN
IMPORT = f"""
import sys
import main
print([name for name in {FORBIDDEN} if name in sys.modules])
"""


@pytest.mark.parametrize("issuer", ["", "https://app.example.com"])
def test_the_service_imports_neither_mcp_nor_ecdsa_nor_modules_that_use_it(issuer: str) -> None:
    settings = {"better_auth_url": issuer} if issuer else {}
    imported = subprocess.check_output(
        [sys.executable, "-c", IMPORT], cwd=sources(), env=environment(**settings), text=True
    )
    assert imported.strip() == "[]"
