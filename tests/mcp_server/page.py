"""What docs/assistants.md shows: configurations, a frontend's auth.ts, a session."""

import json
import re
from typing import Any

from config import ROOT

PAGE = ROOT / "docs/assistants.md"
TEXT = PAGE.read_text()
# A block that a test uses has its name behind the language.
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.M | re.S))
SESSION = TEXT.partition("<!-- written by mcp_server.transcript -->\n")[2].partition(
    "<!-- end -->"
)[0]


def configuration(block: str, token: str) -> dict[str, Any]:
    """Return the configuration of a server as a block shows it, with a token that is real."""
    found: dict[str, Any] = json.loads(BLOCKS[block].replace("eyJ…", token))["mcpServers"]["tasks"]
    return found
