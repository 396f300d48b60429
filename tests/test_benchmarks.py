from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def closed_loop(**rounds: list[float]) -> dict[str, Any]:
    """Return results of the mix: requests/s per round, with 0.1 ms of Postgres' time for each."""
    runs = {name: {"rounds": each, "postgres_cpu_ms": 0.1} for name, each in rounds.items()}
    return {"closed loop": {"mix": runs}}


@pytest.fixture(autouse=True)
def _benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_a_target_whose_contender_did_not_run_is_not_met() -> None:
    import report

    table = report.targets(closed_loop(service=[500.0], fastify=[100.0]))
    lines = [line for line in table.splitlines() if "mix, relative to " in line]
    assert [line.split("|")[-2].strip() for line in lines] == ["met", "not run", "not run"]
    lines = [line for line in table.splitlines() if "relative to Go's" in line]
    assert {line.split("|")[-2].strip() for line in lines} == {"not run"}


def test_a_contender_with_fewer_rounds_is_compared_in_those_rounds() -> None:
    import ratios

    loads = closed_loop(service=[100.0, 200.0, 900.0], conventional=[10.0, 20.0])["closed loop"]
    assert ratios.of_every_peer(loads) == {"conventional": [10.0]}


def test_a_contender_that_served_nothing_has_no_ratio() -> None:
    import ratios

    loads = closed_loop(service=[100.0], go=[0.0])["closed loop"]
    assert ratios.of_every_peer(loads) == {"go": [None]}


def test_a_ratio_below_one_is_in_bold() -> None:
    import report

    loads = closed_loop(service=[100.0], go=[200.0], floor=[50.0])["closed loop"]
    assert "| Go + pgx | **0.50** |" in report.ratio_table(loads)
    assert "| floor | 2.00 |" in report.ratio_table(loads)


def test_a_contender_without_its_packages_is_skipped_with_a_reason(
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


def test_the_searched_tasks_have_the_stated_lengths_and_matches() -> None:
    import search_data

    tasks = list(search_data.rows(search_data.Texts(), 200, (10,)))
    assert len(tasks) == 200 + 2 * 10
    for kind, length in search_data.LENGTHS.items():
        own = [row for row in tasks if row[0] == search_data.user_id(kind, 10)]
        assert {len(description) for _, _, description, *_ in own} == {length}
        assert sum(search_data.RARE in title for _, title, *_ in own) == search_data.RARE_TASKS
    others = "".join(title + text for owner, title, text, *_ in tasks if owner.startswith("other"))
    assert "q" not in others
    assert "z" not in others


def test_rows_read_include_the_rows_that_a_filter_removed() -> None:
    import search_costs

    scan = {"Relation Name": "tasks", "Actual Rows": 2, "Actual Loops": 3}
    filtered = scan | {"Rows Removed by Filter": 5, "Plans": [{"Index Name": "tasks_search"}]}
    plan = {"Actual Rows": 51, "Actual Loops": 1, "Plans": [filtered]}
    nodes = list(search_costs.plan_nodes(plan))
    assert search_costs.rows_read(filtered) == 21
    assert [node.get("Index Name") for node in nodes] == [None, None, "tasks_search"]


def test_the_report_of_a_search_has_a_row_for_each_case(tmp_path: Path) -> None:
    import search_report

    figures = {"ms": 2.0, "rows": 1000, "used": False}
    run = {"kind": "short", "case": "no match"}
    runs = [
        run | {"size": size, "search_without": figures, "search_with": figures | {"used": True}}
        for size in (1000, 10_000)
    ]
    change = {"short": {"toggle": {"search_without": 100.0, "search_with": 250.0}}}
    sizes = {"s": 5.0, "index": 1e6, "table": 2e6, "others": 3e6, "rows": 1000}
    results = {"machine": {}, "others": 1, "rounds": 1, "quick": False, "load after": "0"}
    results |= {"reads": runs, "writes": change, "index": sizes}
    search_report.write(results, tmp_path)
    text = (tmp_path / "search.md").read_text()
    assert "| no match | 80 | 1,000 | 2 | 2 | 1,000 | 1,000 | yes |" in text
    assert "| toggle | 80 | 100 | 250 | 2.5 |" in text
    assert "The user has 1,000 tasks." in text.replace("\n", " ")
    assert "without the index" in (tmp_path / "search.svg").read_text()


def test_a_search_that_reads_other_users_tasks_misses_its_target() -> None:
    import report
    from targets import SEARCH_TARGETS

    def verdicts(rows: int) -> list[str]:
        figures = {"ms": 2.0, "rows": rows, "used": False}
        run = {"kind": "short", "case": "no match", "size": 100_000, "search_without": figures}
        table = report.targets({"reads": [run]}, SEARCH_TARGETS)
        return [line.split("|")[-2].strip() for line in table.splitlines()[4:]]

    not_run = ["not run"] * (len(SEARCH_TARGETS) - 1)
    assert verdicts(100_000) == ["met", *not_run]
    assert verdicts(1_100_000) == ["**missed**", *not_run]
