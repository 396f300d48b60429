from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def closed_loop(**rounds: list[float]) -> dict[str, Any]:
    """Results of the mix: requests/s by contender and round, 0.1 ms of Postgres a request."""
    runs = {name: {"rounds": each, "postgres_cpu_ms": 0.1} for name, each in rounds.items()}
    return {"closed loop": {"mix": runs}}


@pytest.fixture(autouse=True)
def _benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_a_target_whose_contender_did_not_run_is_not_met() -> None:
    import report

    table = report.targets(closed_loop(service=[500.0], fastify=[100.0]))
    lines = [line for line in table.splitlines() if "mix, to " in line]
    assert [line.split("|")[-2].strip() for line in lines] == ["met", "not run", "not run"]
    lines = [line for line in table.splitlines() if "to Go's" in line]
    assert {line.split("|")[-2].strip() for line in lines} == {"not run"}


def test_a_contender_with_fewer_rounds_is_compared_in_these() -> None:
    import ratios

    loads = closed_loop(service=[100.0, 200.0, 900.0], conventional=[10.0, 20.0])["closed loop"]
    assert ratios.of_every_peer(loads) == {"conventional": [10.0]}


def test_a_contender_that_served_nothing_has_no_ratio() -> None:
    import ratios

    loads = closed_loop(service=[100.0], go=[0.0])["closed loop"]
    assert ratios.of_every_peer(loads) == {"go": [None]}


def test_a_ratio_below_one_stands_out() -> None:
    import report

    loads = closed_loop(service=[100.0], go=[200.0], floor=[50.0])["closed loop"]
    assert "| Go + pgx | **0.50** |" in report.ratio_table(loads)
    assert "| floor | 2.00 |" in report.ratio_table(loads)


def test_a_contender_without_its_packages_is_left_out_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import contenders
    import run

    monkeypatch.setattr(contenders, "GOCODE", tmp_path)
    monkeypatch.setenv("PATH", "")
    selected, sentences = run.select(["floor", "go"], tmp_path)
    assert list(selected) == ["floor"]
    assert sentences == [
        "Go + pgx did not run: it needs Debian's golang-go, golang-github-jackc-pgx-v4-dev, "
        "golang-github-golang-jwt-jwt-dev, golang-github-go-chi-chi-dev, golang-github-rs-cors-dev."
    ]
