"""Every mutation can still be made, and its tests are there; `scripts/test-mutations` runs them."""

from pathlib import Path

import pytest

from config import ROOT
from tests.mutations.mutation import Mutation, NotApplicable, arguments, mutated
from tests.mutations.table import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_applies(mutation: Mutation) -> None:
    path, source = mutated(mutation, ROOT)
    compile(source, path, "exec")
    assert arguments(mutation, ROOT)


def test_every_mutation_has_a_name_of_its_own() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30


@pytest.mark.parametrize(("source", "times"), [("x = 2", 0), ("x = 1\nx = 1", 2)])
def test_a_text_that_is_not_there_once_is_named(tmp_path: Path, source: str, times: int) -> None:
    (tmp_path / "module.py").write_text(source)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_module.py").write_text("x = 1")
    with pytest.raises(NotApplicable, match=f"the-name: .* {times} times: x = 1"):
        mutated(Mutation("the-name", "", "x = 1", "x = 3", ()), tmp_path)


def test_a_test_that_is_not_there_is_named() -> None:
    with pytest.raises(NotApplicable, match=r"the-name: its test test_nothing must be .* 0 times"):
        arguments(Mutation("the-name", "", "", "", ("test_nothing",)), ROOT)
