"""Stack traces: Python's format, without texts that may quote a client or forge a line."""

import traceback
from collections.abc import Callable

import psycopg2
import pytest
from fastapi.exceptions import ResponseValidationError
from psycopg2 import extensions
from sqlalchemy.exc import DBAPIError, StatementError

from observability.tracebacks import MAX_CHAIN, stack_trace

FORGED = "[2026-01-01T00:00:00.000Z] [ERROR] [root] [GET /] [forged]"
PRIVATE = "Oat milk"  # a constant, because a stack trace shows the lines of the program


def fail() -> None:
    raise ValueError("the first")


def with_a_cause() -> None:
    try:
        fail()
    except ValueError as error:
        raise LookupError("the second") from error


def with_a_context() -> None:
    try:
        with_a_cause()
    except LookupError:
        raise KeyError("the third")  # noqa: B904


def without_its_context() -> None:
    try:
        fail()
    except ValueError:
        raise RuntimeError from None


def in_a_group() -> None:
    errors: list[Exception] = []
    for each in (fail, with_a_context):
        try:
            each()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", [*errors, ExceptionGroup("inner", [OSError(2, "gone")])])


def too_deep() -> None:
    too_deep()


def of(fails: Callable[[], None]) -> Exception:
    try:
        fails()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


FAILURES = [fail, with_a_cause, with_a_context, without_its_context, in_a_group, too_deep]


@pytest.mark.parametrize("fails", FAILURES)
def test_a_stack_trace_has_the_format_of_python(fails: Callable[[], None]) -> None:
    error = of(fails)
    assert stack_trace(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def told_by_the_driver() -> None:
    raise psycopg2.IntegrityError(f"Key (title)=({PRIVATE}) already exists.")


def as_a_cause() -> None:
    try:
        told_by_the_driver()
    except psycopg2.Error as error:
        raise RuntimeError("it failed") from error


def as_a_member() -> None:
    raise ExceptionGroup("several", [of(told_by_the_driver)])


@pytest.mark.parametrize("fails", [told_by_the_driver, as_a_cause, as_a_member])
def test_a_text_that_may_quote_a_client_is_withheld(fails: Callable[[], None]) -> None:
    trace = stack_trace(of(fails))
    assert "psycopg2.IntegrityError: (text withheld)" in trace
    assert PRIVATE not in trace


def told_by_sqlalchemy() -> None:
    parameters = {"title": PRIVATE}
    raise StatementError("no value", "SELECT %(title)s", parameters, ValueError("no value"))


def told_by_fastapi() -> None:
    errors = [
        {"type": "missing", "loc": ("response", PRIVATE, name), "msg": "", "input": PRIVATE}
        for name in ("id", "title")
    ]
    raise ResponseValidationError(errors, body={"description": PRIVATE})


@pytest.mark.parametrize(
    ("fails", "shown"),
    [
        (told_by_sqlalchemy, "sqlalchemy.exc.StatementError: (text withheld)"),
        (
            told_by_fastapi,
            "fastapi.exceptions.ResponseValidationError: (text withheld: missing)",
        ),
    ],
)
def test_the_values_of_a_statement_and_of_a_response_are_withheld(
    fails: Callable[[], None], shown: str
) -> None:
    trace = stack_trace(of(fails))
    assert trace.endswith(shown)
    assert PRIVATE not in trace


def adapting_an_object() -> None:
    extensions.adapt(object())


def passed_on_by_sqlalchemy() -> None:
    cause = of(adapting_an_object)
    raise DBAPIError("SELECT %(title)s", {"title": PRIVATE}, cause) from cause


@pytest.mark.parametrize("fails", [adapting_an_object, passed_on_by_sqlalchemy])
def test_a_mistake_that_the_driver_finds_itself_is_shown(fails: Callable[[], None]) -> None:
    trace = stack_trace(of(fails))
    assert trace.endswith("Error: can't adapt type 'object'")
    assert PRIVATE not in trace


@pytest.mark.parametrize("dsn", [f"password=se {PRIVATE}", f"postgresql://u:p%ZZ{PRIVATE}@h"])
def test_an_invalid_dsn_is_withheld_because_it_may_have_a_password(dsn: str) -> None:
    def connecting() -> None:
        psycopg2.connect(dsn)

    trace = stack_trace(of(connecting))
    assert trace.endswith("ProgrammingError: (text withheld)")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("group", [False, True])
def test_no_text_in_a_stack_trace_can_forge_a_log_line(group: bool) -> None:
    error: Exception = ValueError(f"x\n{FORGED}\r{FORGED}")
    error.add_note(FORGED)
    if group:
        error = ExceptionGroup(f"x\n{FORGED}", [error])
        error.add_note(FORGED)
    lines = stack_trace(error).splitlines()
    assert not [line for line in lines if line.startswith("[")]
    assert f"ValueError: x\\x0a{FORGED}" in "\n".join(lines)


def test_an_error_whose_str_fails_is_shown_without_a_text() -> None:
    assert "Mute: (no text: its __str__ failed)" in stack_trace(Mute())


def test_a_long_chain_of_errors_is_cut() -> None:
    first: BaseException = ValueError("0")
    error = first
    for number in range(5000):
        error.__context__ = ValueError(str(number))
        error = error.__context__
    error.__context__ = first
    trace = stack_trace(first)
    assert trace.count("ValueError") == MAX_CHAIN
    assert "more exceptions, which are not shown" in trace
