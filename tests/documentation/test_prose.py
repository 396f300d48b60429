"""No prose in the repository contains a phrase of `prose.RULES`."""

from pathlib import Path

import pytest

from tests.documentation.prose import RULES, Passage, findings, of_markdown, of_python, passages


def test_no_passage_contains_a_phrase_to_avoid() -> None:
    found = [finding for passage in passages() for finding in findings(passage)]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(("pattern", "instead", "example"), RULES)
def test_a_rule_finds_its_example(pattern: str, instead: str, example: str) -> None:
    [finding] = findings(Passage(Path("page.md"), 3, example))
    assert finding.startswith("page.md:3: ")
    assert finding.endswith(instead)


def test_docstrings_comments_and_messages_are_prose() -> None:
    text = '"""Say so\n    twice."""\nx = 1  # Begin\n\n# One\n# two.\nraise E("it is not a b")\n'
    found = [(each.line, each.text) for each in of_python(Path("module.py"), text)]
    assert found == [(3, "Begin"), (5, "One two."), (7, "it is not a b")]


def test_paragraphs_and_list_items_are_prose_and_code_is_not() -> None:
    text = "# Title\n\nOne\ntwo.\n\n```sh\nbut for\n```\n\n- item\n- other\n"
    found = [(each.line, each.text) for each in of_markdown(Path("page.md"), text)]
    assert found == [(1, "# Title"), (3, "One two."), (10, "- item"), (11, "- other")]
