"""The TypeScript in the documentation that is only a part of a file."""

import re

from config import ROOT

# Without a name after the language. A block with a name is a whole file; see tests/frontends.
SNIPPET = re.compile(r"^```[tj]s\n(.*?)^```$", re.M | re.S)


def snippet(page: str, contains: str) -> str:
    """Return the block of a page that contains this text."""
    blocks = SNIPPET.findall((ROOT / page).read_text())
    [found] = [block for block in blocks if contains in block]
    return str(found)


def in_module(code: str, imports: str = "", parameters: str = "") -> str:
    """Return a module for the compiler: the imports, and a function that is never called."""
    lines = code.splitlines()
    imports += "\n".join(line for line in lines if line.startswith("import "))
    body = "\n".join(line for line in lines if not line.startswith("import "))
    return f"{imports}\nexport async function snippet({parameters}) {{\n{body}\n}}\n"
