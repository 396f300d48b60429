"""The layers of the service, its modules, and what they import."""

import ast
from collections.abc import Iterator
from pathlib import Path

from config import ROOT

LAYERS = (
    ("addresses", "origins", "memory", "models", "secret_rules"),
    ("postgres",),
    ("observability", "config", "schemas"),
    ("development", "errors"),
    ("condition",),
    ("database", "tokens", "middleware"),
    ("serving", "tasks", "auth"),
    ("routing",),
    ("routes",),
    ("main",),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
# Packages outside the service. The MCP server is a client of the service, in another process.
OTHERS = {"tests", "benchmarks", "examples", "migrations", "mcp_server"}


def modules() -> dict[str, Path]:
    """Return the paths of the service's modules, by their dotted names."""
    paths = [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/*.py")]
    relative = {path.relative_to(ROOT).with_suffix(""): path for path in paths}
    return {
        ".".join(part for part in name.parts if part != "__init__"): path
        for name, path in relative.items()
        if name.parts[0] not in OTHERS
    }


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module imports anywhere, except under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


def module_of(name: str) -> str | None:
    """Return the module of ours that `name` is or belongs to, if there is one."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in MODULES), None)


IMPORTS = {
    name: {module_of(each) for each in imported(ast.parse(path.read_text()))} - {None, name}
    for name, path in MODULES.items()
}
