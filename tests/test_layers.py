"""Imports go from higher layers to lower ones, never in a circle. A test prints the layers."""

import ast
from graphlib import TopologicalSorter

from config import ROOT
from tests.support.layers import IMPORTS, LAYERS, LEVELS, MODULES, imported


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(LEVELS)
    print(*(f"\n{level} {' '.join(names)}" for level, names in enumerate(LAYERS)))  # noqa: T201


def test_modules_import_only_from_lower_layers() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if other
        and name.partition(".")[0] != other.partition(".")[0]
        and LEVELS[name.partition(".")[0]] <= LEVELS[other.partition(".")[0]]
    ]
    assert not upward


def test_no_imports_form_a_circle() -> None:
    list(TopologicalSorter(IMPORTS).static_order())  # raises a CycleError that names the circle


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
