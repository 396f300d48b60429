"""What log_lines.py finds in a module, in the forms in which modules log."""

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


def test_texts_are_followed_to_where_they_are_written() -> None:
    assert list(Source(MODULE).logged()) == [
        "It is lost: the key",
        "№ of cold",
        "again",
        "first cold",
        "again, so stop",
        "first cold, so stop",
        "…",
    ]


def test_a_pattern_takes_numbers_for_numbers_alone() -> None:
    assert pattern("№ of …").fullmatch("12.5 of them")
    assert not pattern("№ of …").fullmatch("some of them")
