"""Stack traces in Python's standard form, without the texts that could quote a client."""

import traceback
from typing import Any

import psycopg2
from fastapi.exceptions import ResponseValidationError, ValidationException
from pydantic import ValidationError
from sqlalchemy.exc import StatementError

from observability.redaction import redact

# Their texts quote what a client sent: Postgres quotes whole rows, SQLAlchemy the parameters, and
# pydantic and FastAPI the input.
_SENSITIVE_ERRORS = (psycopg2.Error, StatementError, ValidationError, ValidationException)
INVALID_DSN = "invalid dsn"  # then the text may quote a password
MAX_CHAIN = 100  # exceptions of one stack trace; a loop can chain any number


def stack_trace(error: BaseException) -> str:
    """Return the stack traces of `error`, its causes, and the members of its group."""
    return "".join(traceback.format_exception(_copy(error, {}))).rstrip("\n")


def name_of(error: BaseException) -> str:
    """Return the name of the class of `error`, with its module."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def one_line(text: str, *, brackets: bool = False) -> str:
    """Return `text` with escapes for the characters that could end the line, or its field."""
    if text.isprintable() and (brackets or not ("[" in text or "]" in text)):
        return text
    return "".join(
        character
        if character.isprintable() and (brackets or character not in "[]")
        else f"\\x{ord(character):02x}"
        for character in text
    )


def _copy(error: BaseException, copies: dict[int, BaseException]) -> BaseException:
    """Return an exception that looks like `error` except for its text, which may be shown.

    The standard library can format the copy, with its causes and groups. Notes are left out,
    because each would begin a line. `copies` maps the id of each original to its copy.
    """
    if id(error) in copies or len(copies) >= MAX_CHAIN:
        return copies.get(id(error)) or RuntimeError("more exceptions, which are not shown")
    copy = copies[id(error)] = _empty_copy(error, copies)
    copy.__traceback__ = error.__traceback__
    if error.__cause__ is not None:
        copy.__cause__ = _copy(error.__cause__, copies)
    elif error.__context__ is not None and not error.__suppress_context__:
        copy.__context__ = _copy(error.__context__, copies)
    return copy


def _empty_copy(error: BaseException, copies: dict[int, BaseException]) -> BaseException:
    cls = type(error)
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    if isinstance(error, BaseExceptionGroup):
        members = [_copy(member, copies) for member in error.exceptions]
        group: type[BaseExceptionGroup[Any]] = type(cls.__name__, (BaseExceptionGroup,), names)
        return group(_line(error.message), members)
    single: type[BaseException] = type(cls.__name__, (BaseException,), names)
    return single(_text(error))


def _text(error: BaseException) -> str:
    if not isinstance(error, _SENSITIVE_ERRORS):
        return _line(_str(error))
    cause: Any = getattr(error, "orig", error)
    if isinstance(cause, psycopg2.Error) and cause.pgcode:
        return _line(f"(text withheld, SQLSTATE {cause.pgcode}{_place(cause)})")
    if isinstance(cause, psycopg2.ProgrammingError) and not _str(cause).startswith(INVALID_DSN):
        return _line(_str(cause))  # found before anything was sent: a mistake in the program
    if isinstance(error, ResponseValidationError):
        kinds = ", ".join(dict.fromkeys(each["type"] for each in error.errors()))
        return _line(f"(text withheld: {kinds})")
    return "(text withheld)"


def _place(error: Any) -> str:
    """Return the names of the constraint, the column and the table that an error concerns.

    The log may have them, because no client chose them.
    """
    diagnostics = error.diag
    names = {
        "constraint": diagnostics.constraint_name,
        "column": diagnostics.column_name,
        "table": diagnostics.table_name,
    }
    return "".join(f", {kind} {name}" for kind, name in names.items() if name)


def _line(text: str) -> str:
    return one_line(redact(text), brackets=True)


def _str(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(no text: its __str__ failed)"
