"""log_lines.py finds the texts of log calls in every form that the modules use."""

from tests.documentation.log_lines import Source, pattern

MODULE = """
LOST = "It is lost: " "%s"

def look(kind, times):
    logger.warning(LOST, "the key")
    logs.logger.error("%d of %s", times, kind)
    text = "again" if times else f"first {kind}"
    text += "!"
    self.logger.critical("%s", text)
    say(f"{text}, so stop")
    look("cold", 1)
    print.warning("not logged")

def say(what):
    logger.exception(what)
    say(what)
"""


def test_a_text_is_traced_back_to_its_literals() -> None:
    assert list(Source(MODULE).logged()) == [
        "It is lost: the key",
        "№ of cold",
        "again",
        "first cold",
        "again, so stop",
        "first cold, so stop",
        "…",
    ]


def test_a_pattern_matches_only_numbers_where_a_number_is_logged() -> None:
    assert pattern("№ of …").fullmatch("12.5 of them")
    assert not pattern("№ of …").fullmatch("some of them")
