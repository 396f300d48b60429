"""Every mutation can still be made, and its tests exist. `scripts/test-mutations` runs them."""

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


def test_the_names_of_mutations_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30


@pytest.mark.parametrize(("source", "times"), [("x = 2", 0), ("x = 1\nx = 1", 2)])
def test_a_text_that_does_not_occur_exactly_once_is_reported(
    tmp_path: Path, source: str, times: int
) -> None:
    (tmp_path / "module.py").write_text(source)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_module.py").write_text("x = 1")
    with pytest.raises(NotApplicable, match=f"the-name: .* {times} times: x = 1"):
        mutated(Mutation("the-name", "", "x = 1", "x = 3", ()), tmp_path)


def test_a_missing_test_is_reported() -> None:
    with pytest.raises(NotApplicable, match=r"the-name: its test test_nothing must be .* 0 times"):
        arguments(Mutation("the-name", "", "", "", ("test_nothing",)), ROOT)
