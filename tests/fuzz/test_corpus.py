"""Run the harnesses, without the fuzzer, on its initial inputs and on those that found a fault."""

import importlib
from pathlib import Path

import pytest

from tests.fuzz import token_verifier
from tests.fuzz.run import INSTRUMENTED

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def test_every_harness_has_a_corpus() -> None:
    assert {path.parent.name for path in INPUTS} == set(INSTRUMENTED)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_input_of_the_corpus_finds_a_fault(path: Path) -> None:
    assert path.stat().st_size <= 32 * 1024
    importlib.import_module(f"tests.fuzz.{path.parent.name}").check(path.read_bytes())


@pytest.mark.parametrize(
    "name", ["raw-good", "raw-good-issuer", "secret-good", "issuer-good", "issuer-ed25519"]
)
def test_the_valid_tokens_of_the_corpus_are_accepted(name: str) -> None:
    data = (CORPUS / "token_verifier" / name).read_bytes()
    assert token_verifier.user_of(token_verifier.lines_of(data[0] % 4, data[1:])) == "alice"
