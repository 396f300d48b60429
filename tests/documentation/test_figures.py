"""The figures in the README match the recorded benchmarks."""

import re

import pytest

from config import ROOT

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("page", "target", "sentence"),
    [
        (
            "README",
            "mix at 64 connections, relative to the conventional build",
            "serves {} times as many",
        ),
        ("README", "RSS at 1,000 connections, one worker", "takes {} MB with 1,000 connections"),
        ("network", "1,000 users every 2 s at 30 ms, p95", "95 % of the responses take at most {}"),
    ],
)
def test_a_figure_of_the_readme_is_the_recorded_one(page: str, target: str, sentence: str) -> None:
    text = (ROOT / f"docs/benchmarks/{page}.md").read_text()
    found = re.search(rf"^\| {target} \| [^|]+ \| ([\d.]+)", text, re.MULTILINE)
    assert found is not None
    assert sentence.format(round(float(found[1]))) in README
