"""Imports go down, package by package, and never in a circle. Prints the layers."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from config import ROOT

LAYERS = (
    ("postgres", "origins", "memory", "models", "secret_rules"),
    ("observability", "config", "schemas"),
    ("development", "errors"),
    ("database", "tokens", "middleware"),
    ("serving", "tasks", "auth"),
    ("routing",),
    ("routes",),
    ("main",),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
# What is not part of the service.
OTHERS = {"tests", "benchmarks", "migrations"}


def modules() -> dict[str, Path]:
    """The service's modules, by their dotted names."""
    paths = [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/*.py")]
    relative = {path.relative_to(ROOT).with_suffix(""): path for path in paths}
    return {
        ".".join(part for part in name.parts if part != "__init__"): path
        for name, path in relative.items()
        if name.parts[0] not in OTHERS
    }


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """The names that a module imports, at its top or anywhere else, except for types alone."""
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
    """The module of ours that `name`, itself a module or a thing in one, belongs to."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in MODULES), None)


IMPORTS = {
    name: {module_of(each) for each in imported(ast.parse(path.read_text()))} - {None, name}
    for name, path in MODULES.items()
}


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(LEVELS)
    print(*(f"\n{level} {' '.join(names)}" for level, names in enumerate(LAYERS)))  # noqa: T201


def test_imports_go_down() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if other
        and name.partition(".")[0] != other.partition(".")[0]
        and LEVELS[name.partition(".")[0]] <= LEVELS[other.partition(".")[0]]
    ]
    assert not upward


def test_no_imports_go_in_a_circle() -> None:
    list(TopologicalSorter(IMPORTS).static_order())  # raises CycleError, which names it


def test_no_test_module_imports_another() -> None:
    tests = set((ROOT / "tests").glob("**/test_*.py"))
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in tests}
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in tests
        for name in imported(ast.parse(path.read_text()))
        if name in names or name.rpartition(".")[0] in names
    ]
    assert not found
