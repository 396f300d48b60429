"""No regular expression takes more than linear time, whatever a client sends.

The patterns are found in the source, with the methods that are called on them. Each is tried on
long runs of one character: a run at each repetition of the pattern, after a text that matches the
part of the pattern before it.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from re import _constants as op
from re import _parser
from time import process_time
from typing import Any, NamedTuple

import pytest

from config import ROOT
from tests.support.layers import MODULES

METHODS = ("search", "match", "fullmatch", "sub", "findall", "split", "finditer")
FILLERS = "".join(map(chr, range(32, 127))) + "\t\n\r\0é"
ENDS = ("", "\x01", "\r\n\x01")
PATHS = MODULES | {f"mcp_server.{path.stem}": path for path in ROOT.glob("mcp_server/[a-z]*.py")}
LENGTH = 20_000  # characters; a quadratic pattern takes half a second for them
LIMIT = 0.2  # seconds of CPU time; a linear one takes a millisecond
REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)


class Use(NamedTuple):
    """A pattern, and a method that a module calls on it."""

    place: str
    pattern: re.Pattern[Any]
    method: str

    def __str__(self) -> str:
        return f"{self.place} {self.method} {self.pattern.pattern!r}"


def uses() -> Iterator[Use]:
    """Yield each use whose pattern is known without running the function that has it."""
    for name, path in PATHS.items():
        names = vars(importlib.import_module(name))
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(), attr=method)):
                    if method in METHODS and (pattern := _pattern_of(node, names)):
                        yield Use(f"{name}:{node.lineno}", pattern, method)


def _pattern_of(call: ast.Call, names: dict[str, Any]) -> re.Pattern[Any] | None:
    assert isinstance(call.func, ast.Attribute)
    try:
        value = _evaluated(call.func.value, names)
        if value is not re:
            return value if isinstance(value, re.Pattern) else None
        flags = [each.value for each in call.keywords if each.arg == "flags"]
        flags += [each for each in call.args[2:] if "re." in ast.unparse(each)]
        return re.compile(
            _evaluated(call.args[0], names), *(_evaluated(each, names) for each in flags)
        )
    except NameError:  # a local variable
        return None


def _evaluated(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "", "eval"), names)


def prefixes(parsed: Any, before: str = "") -> Iterator[str]:
    """Yield a text for each unbounded repetition, which matches everything before it."""
    for kind, argument in parsed:
        if kind in REPEATS:
            _, most, repeated = argument
            if most > 1000:
                yield before
            yield from prefixes(repeated, before)
        elif kind == op.SUBPATTERN:
            yield from prefixes(argument[3], before)
        elif kind == op.BRANCH:
            for branch in argument[1]:
                yield from prefixes(branch, before)
        before += sample([(kind, argument)])


def sample(parsed: Any) -> str:
    """Return a short text that matches, except where the pattern looks around or back."""
    text = ""
    for kind, argument in parsed:
        if kind == op.LITERAL:
            text += chr(argument)
        elif kind in (op.IN, op.ANY, op.NOT_LITERAL):
            text += _character(kind, argument)
        elif kind in REPEATS:
            text += sample(argument[2]) * argument[0]
        elif kind == op.SUBPATTERN:
            text += sample(argument[3])
        elif kind == op.ATOMIC_GROUP:
            text += sample(argument)
        elif kind == op.BRANCH:
            text += sample(argument[1][0])
    return text


def _character(kind: Any, argument: Any) -> str:
    if kind == op.ANY:
        return "a"
    if kind == op.NOT_LITERAL:
        return "b" if argument == ord("a") else "a"
    first, value = argument[0]
    if first == op.NEGATE:
        excluded = {chr(value) for kind, value in argument if kind == op.LITERAL}
        return next(each for each in "a0-~" if each not in excluded)
    if first == op.CATEGORY:
        return "0" if "DIGIT" in str(value) else " " if "SPACE" in str(value) else "a"
    return chr(value[0] if first == op.RANGE else value)


def seconds(use: Use, text: str) -> float:
    """Return the CPU time of the call on `text`."""
    subject = text.encode() if isinstance(use.pattern.pattern, bytes) else text
    arguments = (type(subject)(), subject) if use.method == "sub" else (subject,)
    begin = process_time()
    result = getattr(use.pattern, use.method)(*arguments)
    if use.method == "finditer":
        list(result)
    return process_time() - begin


def worst(use: Use) -> tuple[float, str]:
    """Return the longest CPU time, and the text that takes it."""
    found = (0.0, "")
    for prefix in {"", *prefixes(_parser.parse(use.pattern.pattern, use.pattern.flags & ~32))}:
        for filler in FILLERS:
            for end in ENDS:
                time = seconds(use, prefix + filler * LENGTH + end)
                found = max(found, (time, f"{prefix!r} + {filler!r} * {LENGTH} + {end!r}"))
                if time > LIMIT:
                    return found
    return found


USES = list(uses())


def test_the_patterns_are_found() -> None:
    places = {use.place.partition(":")[0] for use in USES}
    assert {
        "serving.refusal",
        "serving.head",
        "tasks.headers",
        "auth",
        "mcp_server.settings",
    } < places


def test_a_quadratic_pattern_is_found() -> None:
    time, text = worst(Use("", re.compile(rb"a:[ \t]*([!-~]*)[ \t]*;"), "search"))
    assert time > LIMIT, text


@pytest.mark.parametrize("use", USES, ids=str)
def test_a_pattern_takes_linear_time(use: Use) -> None:
    time, text = worst(use)
    assert time < LIMIT, f"{use}: {time:.2f} s for {text}"
