"""The routes of an application, and a search for the first one that matches a path."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from fastapi.routing import RouteContext
from starlette.convertors import Convertor, StringConvertor
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute
from starlette.types import Scope

from routing.route import Route

# A reference to another group of the same pattern, by number or by name.
_REFERENCE = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")
_NAME = re.compile(r"\(\?P<\w+>")


class Candidate(NamedTuple):
    """A route of the application, with the prefix and the dependencies that it is included with."""

    route: Route | None  # None: a route that FastAPI serves
    pattern: re.Pattern[str] | None  # None: call `matches` instead
    methods: set[str]  # empty: FastAPI knows them
    convertors: dict[str, Convertor[Any]]  # those that change a value
    matches: Callable[[Scope], tuple[Match, Scope]]


class Search:
    """A search of one pattern that is joined from the patterns of several candidates.

    The first candidate that matches is found, as if each pattern were tried in order.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        # The candidate, and the numbers of its groups by name, by the number of the empty group
        # that ends its part of the pattern.
        self._found: dict[int, tuple[Candidate, dict[str, int]]] = {}
        parts, group = [], 0
        for candidate in candidates:
            assert candidate.pattern is not None
            numbers = {name: group + own for name, own in candidate.pattern.groupindex.items()}
            group += candidate.pattern.groups + 1
            parts.append(f"(?:{_NAME.sub('(', candidate.pattern.pattern)})()")
            self._found[group] = candidate, numbers
        self._pattern = re.compile("|".join(parts))

    def find(self, path: str) -> tuple[Candidate, dict[str, Any]] | None:
        """Return the first candidate that matches `path`, and the parameters in the path."""
        match = self._pattern.match(path)
        if match is None:
            return None
        assert match.lastindex is not None
        candidate, numbers = self._found[match.lastindex]
        parameters: dict[str, Any] = {name: match[number] for name, number in numbers.items()}
        for name, convertor in candidate.convertors.items():
            parameters[name] = convertor.convert(parameters[name])
        return candidate, parameters


def searches(candidates: Iterable[Candidate]) -> Iterator[Search | Candidate]:
    """Yield the steps of a search through `candidates`, in their order.

    Each step is a Search, or a candidate whose own `matches` must be called.
    """
    for can_join, group in groupby(candidates, _can_join):
        if can_join:
            yield Search(group)
        else:
            yield from group


def _can_join(candidate: Candidate) -> bool:
    pattern = candidate.pattern
    return pattern is not None and not _REFERENCE.search(pattern.pattern)


def candidate_of(context: RouteContext) -> Candidate:
    """Return the candidate of a route. `context` says how the route is included."""
    route = context.original_route
    if type(route) is StarletteRoute:
        return Candidate(None, route.path_regex, set(), {}, context.matches)
    if not isinstance(route, Route):
        return Candidate(None, None, set(), {}, context.matches)
    pattern: re.Pattern[str] = context.path_regex
    if route.slash_is_optional:
        pattern = re.compile(pattern.pattern.removesuffix("$") + "/?$")
    return Candidate(
        route if route.is_fast(context) else None,
        pattern,
        context.methods or set(),
        {
            name: convertor
            for name, convertor in context.param_convertors.items()
            if type(convertor).convert is not StringConvertor.convert
        },
        context.matches,
    )
