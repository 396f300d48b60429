"""The texts of the warnings and errors that a module can log, extracted from its source."""

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import product

LEVELS = {"warning", "error", "exception", "critical"}
ANY, NUMBER = "…", "№"
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """One module. `texts` resolves a variable to the texts that are assigned to it."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._followed: set[tuple[str, str]] = set()  # parameters that are being resolved
        self._parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    def calls(self) -> Iterator[ast.Call]:
        yield from (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def logged(self) -> Iterator[str]:
        """Yield the texts that the module logs, with NUMBER for each number."""
        for call in self.calls():
            match call.func:
                case ast.Attribute(value=logger, attr=level):
                    if level in LEVELS and _name(logger) == "logger":
                        yield from self._formatted(*call.args)
                    elif level == "LogRecord":
                        yield from self._formatted(call.args[4])

    def _formatted(self, first: ast.expr, *arguments: ast.expr) -> Iterator[str]:
        values = [self.texts(each) for each in arguments]
        for text in self.texts(first):
            for each in product(*values) if text.count("%") == len(values) else [()]:
                yield _filled(text, each)

    def texts(self, node: ast.expr) -> list[str]:
        """Return the values that an expression may have, with ANY for unknown parts."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return ["".join(each) for each in product(*(self.texts(part) for part in parts))]
            case ast.FormattedValue(value=value):
                return self.texts(value)
            case ast.BinOp(op=ast.Add()):
                both = product(self.texts(node.left), self.texts(node.right))
                return ["".join(each) for each in both]
            case ast.BoolOp(values=values):
                return [text for value in values for text in self.texts(value)]
            case ast.IfExp():
                return self.texts(node.body) + self.texts(node.orelse)
            case ast.Name(id=name):
                return self._named(name, node) or [ANY]
        return [ANY]

    def _named(self, name: str, node: ast.AST) -> list[str]:
        scope: ast.AST | None = node
        while scope := self._parents.get(scope) if scope else None:
            if not isinstance(scope, Function | ast.Module):
                continue
            found = [
                text
                for each in ast.walk(scope)
                if isinstance(each, ast.Assign) and _name(each.targets[0]) == name
                if node not in ast.walk(each.value)
                for text in self.texts(each.value)
            ]
            if isinstance(scope, Function):
                found += self._passed(name, scope)
            if found:
                return found
        return []

    def _passed(self, name: str, function: Function) -> list[str]:
        """Return the values that this module passes to the parameter `name` of its own function."""
        names = [each.arg for each in function.args.args if each.arg != "self"]
        key = (function.name, name)
        if name not in names or key in self._followed:  # not again for a recursive call
            return []
        self._followed.add(key)
        place = names.index(name)
        found = [
            text
            for call in self.calls()
            if _name(call.func) == function.name and len(call.args) > place
            for text in self.texts(call.args[place])
        ]
        self._followed.remove(key)
        return found


def _name(node: ast.expr) -> str:
    """Return the last part of a dotted name, or an empty string for another expression."""
    is_name = isinstance(node, ast.Name | ast.Attribute)
    return ast.unparse(node).rpartition(".")[2] if is_name else ""


def _filled(text: str, values: Iterable[str]) -> str:
    """Return `text` with a value, or ANY, for each %s, and NUMBER for the other conversions."""
    strings = iter(values)

    def fill(conversion: re.Match[str]) -> str:
        value = next(strings, ANY)
        return value if conversion[0] == "%s" else NUMBER

    return re.sub(r"%(?:\.\d)?[sdfg]", fill, text)


def pattern(text: str) -> re.Pattern[str]:
    """Return a pattern that matches every line that the text can become."""
    escaped = re.escape(text).replace(ANY, ".+").replace(NUMBER, r"-?[\d.]+")
    return re.compile(escaped, re.DOTALL)
