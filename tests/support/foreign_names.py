"""Find the names of other packages that the sources use, as far as the syntax shows them."""

import ast
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from config import ROOT

# All names of these packages count. From other packages, only names with a leading underscore do.
WATCHED = ("fastapi", "httptools", "jose", "psycopg2", "sqlalchemy", "starlette", "uvicorn")
ASIDE = {"tests", "benchmarks", "node_modules", "__pycache__"}

Uses = dict[str, list[str]]  # the lines that use a name, by name


def sources() -> Iterator[Path]:
    """Yield every module of the service."""
    for path in sorted(ROOT.rglob("*.py")):
        folders = path.relative_to(ROOT).parts[:-1]
        if not any(folder in ASIDE or folder.startswith(".") for folder in folders):
            yield path


def foreign_names() -> Uses:
    """Return the names of other packages that the service uses, and the lines that use each.

    A name is qualified, as in `starlette.requests.Request`. Names come from imports, inherited
    attributes and attributes of parameters. If the class of an object is not known, its private
    attribute is listed as `?._name`.
    """
    trees = {path: ast.parse(path.read_text()) for path in sources()}
    own = set().union(*(_defined(tree) for tree in trees.values()))
    read = set().union(*(_read(tree) for tree in trees.values()))
    uses: Uses = defaultdict(list)
    for path, tree in trees.items():
        imported = dict(_imports(tree))
        found = [
            *((name, node) for name, node in imported.values()),
            *_private_attributes(tree, own),
            *_of_parameters(tree, imported),
            *_inherited(path, trees, read),
        ]
        for name, node in found:
            uses[name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return uses


Found = Iterator[tuple[str, ast.stmt | ast.expr]]
Imported = dict[str, tuple[str, ast.stmt]]


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ast.stmt]]]:
    """Yield each import, by the name that it has in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                full = module + alias.name
                parts = full.split(".")
                if parts[0] in WATCHED or any(part.startswith("_") for part in parts):
                    yield alias.asname or alias.name, (full, node)


def _private_attributes(tree: ast.AST, own: set[str]) -> Found:
    """Yield each `thing._name` where none of our modules defines `_name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            yield f"?.{node.attr}", node


def _of_parameters(tree: ast.AST, imported: Imported) -> Found:
    """Yield `parameter.name` if its annotation is imported, also after `self._it = parameter`."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.ClassDef):
            continue
        kinds = {
            argument.arg: imported[argument.annotation.id][0]
            for argument in ast.walk(scope)
            if isinstance(argument, ast.arg)
            and isinstance(argument.annotation, ast.Name)
            and argument.annotation.id in imported
        }
        kinds |= {
            target: kinds[node.value.id]
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Name)
            and node.value.id in kinds
            for target in map(ast.unparse, node.targets)
        }
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute) and (kind := kinds.get(ast.unparse(node.value))):
                yield f"{kind}.{node.attr}", node


def _inherited(path: Path, trees: dict[Path, ast.Module], read: set[str]) -> Found:
    """Yield names of watched classes: those that subclasses of ours override, use or implement."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for scope in trees[path].body:
        if not isinstance(scope, ast.ClassDef) or not scope.bases:
            continue
        classes = getattr(importlib.import_module(module), scope.name).__mro__
        foreign = [each for each in classes if each.__module__.partition(".")[0] in WATCHED]
        if not foreign:
            continue
        prefix = f"{foreign[0].__module__}.{foreign[0].__qualname__}"
        ours = set().union(*(_defined(each) for each in _definitions(classes, trees)))
        for node in scope.body:
            name = getattr(node, "name", None)
            if name and not _is_dunder(name) and hasattr(foreign[0], name):
                yield f"{prefix}.{name}", node
            elif name and _is_private(name) and name not in read:
                yield f"?.{name}", node  # nothing here calls it, so the other package does
        for part in ast.walk(scope):
            if (
                isinstance(part, ast.Attribute)
                and ast.unparse(part.value) in ("self", "super()")
                and not _is_dunder(part.attr)
                and (part.attr not in ours or ast.unparse(part.value) == "super()")
                and not any(part.attr in vars(each) for each in classes if each not in foreign)
            ):
                yield f"{prefix}.{part.attr}", part


def _definitions(
    classes: tuple[type, ...], trees: dict[Path, ast.Module]
) -> Iterator[ast.ClassDef]:
    """Yield the definitions of those `classes` that are ours, in whichever module."""
    for each in classes:
        path = Path(getattr(sys.modules[each.__module__], "__file__", ""))
        for node in trees[path].body if path in trees else ():
            if isinstance(node, ast.ClassDef) and node.name == each.__name__:
                yield node


def _defined(tree: ast.AST) -> set[str]:
    """Return the names that `tree` defines or assigns, attributes of self included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return names


def _read(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not _is_dunder(name)
