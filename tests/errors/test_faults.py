"""The sentences about invalid input: one fault, several, and thousands."""

import pytest

from errors import InvalidInput
from errors.faults import MAX_DETAIL, MAX_ERRORS, Fault, detail_of, field_name
from tests.support.responses import invalid_input

NUMBER = "must be a whole number"


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("body.title", "must not be blank", "title must not be blank."),
        ("query.limit", NUMBER, "limit must be a whole number."),
        ("path.task_id", NUMBER, "task_id must be a whole number."),
        ("header.If-Match", "is required", "If-Match is required."),
        ("body.items.0.price", NUMBER, "items.0.price must be a whole number."),
        ("body.0", NUMBER, "body.0 must be a whole number."),
        ("body", "must be a JSON object", "The body must be a JSON object."),
        ("request", "must be HTTP/1.1", "The request must be HTTP/1.1."),
        ("body.day", "must be a weekday!", "day must be a weekday!"),
        ("body.day", "Choose a weekday", "Choose a weekday."),
        ("body", "start must be before end.", "start must be before end."),
        ("body.day", "issues come on weekdays", "issues come on weekdays."),
    ],
)
def test_a_fault_becomes_a_sentence(field: str, text: str, sentence: str) -> None:
    assert Fault(field, text).sentence == sentence


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (("body", "items", 3, "unit-price"), "body.items.3.unit-price"),
        (("query", "filter[status]"), "query.filter[status]"),
        (("body", "words", "<b>secret</b>"), "body.words"),
        (("body", "words", "x" * 41), "body.words"),
        (("body", "day", "function-before[_iso_date(), date]"), "body.day"),
        (("body", "x\n"), "body"),
        (("body",), "body"),
    ],
)
def test_the_name_of_a_field_contains_no_text_of_the_client(
    location: tuple[int | str, ...], name: str
) -> None:
    assert field_name(location) == name


def test_the_detail_contains_the_sentence_of_every_fault() -> None:
    faults = [Fault("body.title", "must not be blank"), Fault("query.limit", NUMBER)]
    assert InvalidInput(*faults).body() == invalid_input(
        ("body.title", "title must not be blank."), ("query.limit", "limit must be a whole number.")
    )


def test_a_long_detail_ends_after_a_whole_sentence() -> None:
    faults = [Fault(f"body.f{number}", NUMBER) for number in range(10, MAX_ERRORS + 10)]
    detail = detail_of(faults)
    shown = [f"f{number} must be a whole number." for number in range(10, 20)]
    assert detail == " ".join([*shown[:9], "There are more errors."])
    assert len(detail) <= MAX_DETAIL < len(" ".join([*shown[:10], "There are more errors."]))


def test_the_first_sentence_is_never_cut() -> None:
    long = "x" * 2 * MAX_DETAIL
    assert detail_of([Fault("body.x", long)]) == f"{long}."
    assert detail_of([Fault("body.x", long), Fault("body.y", NUMBER)]) == (
        f"{long}. There are more errors."
    )


def test_the_number_of_errors_is_limited_and_the_detail_says_so() -> None:
    body = InvalidInput(*[Fault(f"body.{number}", "no") for number in range(16_000)]).body()
    assert body == {
        "detail": "no. " * MAX_ERRORS + "There are more errors.",
        "code": "VALIDATION_ERROR",
        "errors": [{"field": f"body.{number}", "message": "no."} for number in range(MAX_ERRORS)],
    }
