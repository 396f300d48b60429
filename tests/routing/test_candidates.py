"""A joined search finds what trying each route in order would find."""

from itertools import permutations
from typing import Any

import pytest
from starlette.convertors import CONVERTOR_TYPES, Convertor, FloatConvertor
from starlette.routing import Match, compile_path
from starlette.types import Scope

from routing.candidates import Candidate, Search, searches


class Version(Convertor[str]):
    """A part of a path whose pattern has groups of its own, one of which may match nothing."""

    regex = r"(?:v(\d+)|(latest))(-rc)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Twice(Version):
    """A part of a path whose pattern refers to one of its own groups."""

    regex = r"(\w)\2"  # group 1 is the part itself


PATHS = (
    "/tasks/{id}",
    "/tasks/{id}/complete",
    "/tasks/stats",
    "/{anything:path}",
    "/tasks/{version:version}/{id}",
    "/prices/{price:float}",
    "/pairs/{pair:twice}",
)
REQUESTS = (
    "/tasks/1",
    "/tasks/stats",
    "/tasks/1/complete",
    "/tasks/v12-rc/7",
    "/tasks/latest/7",
    "/prices/1.50",
    "/prices/x",
    "/pairs/aa",
    "/pairs/ab",
    "nothing",
)


def matches(scope: Scope) -> tuple[Match, Scope]:
    raise AssertionError("the pattern decides")


def candidate(path: str) -> Candidate:
    pattern, _, convertors = compile_path(path)
    changing: dict[str, Convertor[Any]] = {
        name: each for name, each in convertors.items() if isinstance(each, FloatConvertor)
    }
    return Candidate(None, pattern, {path}, changing, matches)


def found_by_steps(candidates: list[Candidate], path: str) -> object:
    for step in searches(candidates):
        found = found_alone(step, path) if isinstance(step, Candidate) else step.find(path)
        if found:
            return found
    return None


def found_in_order(candidates: list[Candidate], path: str) -> object:
    return next((found for each in candidates if (found := found_alone(each, path))), None)


def found_alone(candidate: Candidate, path: str) -> tuple[Candidate, dict[str, Any]] | None:
    assert candidate.pattern is not None
    match = candidate.pattern.match(path)
    if match is None:
        return None
    parameters = match.groupdict()
    for name, convertor in candidate.convertors.items():
        parameters[name] = convertor.convert(parameters[name])
    return candidate, parameters


@pytest.fixture(autouse=True)
def convertors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONVERTOR_TYPES, "version", Version())
    monkeypatch.setitem(CONVERTOR_TYPES, "twice", Twice())


def test_the_first_route_that_matches_is_found_whatever_the_patterns() -> None:
    every = [candidate(path) for path in PATHS]
    for some in permutations(every, 4):
        candidates = list(some)
        for path in REQUESTS:
            assert found_by_steps(candidates, path) == found_in_order(candidates, path)


def test_one_search_is_enough_for_routes_whose_patterns_do_not_refer_to_groups() -> None:
    plain = [candidate(path) for path in PATHS if "twice" not in path]
    assert len(list(searches(plain))) == 1


def test_a_pattern_that_refers_to_a_group_is_searched_alone() -> None:
    first, second, third = (candidate(path) for path in (PATHS[0], PATHS[-1], PATHS[1]))
    assert len(list(searches([first, second, third]))) == 3


def test_a_route_without_a_pattern_is_asked_itself() -> None:
    mount = Candidate(None, None, set(), {}, matches)
    first, *others = searches([candidate(PATHS[0]), mount])
    assert isinstance(first, Search)
    assert others == [mount]
