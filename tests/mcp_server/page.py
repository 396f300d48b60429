"""The code blocks of docs/assistants.md: configurations, a frontend's auth.ts, a session."""

import json
import re
from typing import Any

from config import ROOT

PAGE = ROOT / "docs/assistants.md"
TEXT = PAGE.read_text()
# A block that a test uses has a name after the language.
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.M | re.S))
SESSION = TEXT.partition("<!-- written by mcp_server.transcript -->\n")[2].partition(
    "<!-- end -->"
)[0]


def configuration(block: str, token: str) -> dict[str, Any]:
    """Return the server configuration that a block shows, with a real token."""
    found: dict[str, Any] = json.loads(BLOCKS[block].replace("eyJ…", token))["mcpServers"]["tasks"]
    return found
