"""Our messages for bodies that can't be read. They name the position and never quote the body."""

import re
from json import JSONDecodeError

from errors.faults import Fault


def malformed_json(error: ValueError, body: bytes) -> Fault:
    """Return what is wrong with a body that pydantic_core's `from_json` refused.

    The text has the line and the column, which is in characters and not in bytes.
    """
    if not body.strip():
        return Fault("body", "must not be empty")
    message = str(error)
    found = re.search(r" at line (\d+) column (\d+)$", message)
    if found is None:
        return Fault("body", "is not valid JSON")
    line, byte = int(found[1]), int(found[2])
    before = body.split(b"\n", line)[line - 1][:byte]
    column = max(1, len(before.decode(errors="replace")))
    return Fault("body", f"{_json_rule(message)} (line {line}, column {column})")


def _json_rule(message: str) -> str:
    if message.startswith("recursion limit"):
        return "is nested too deeply"
    if message.startswith("number out of range"):
        return "has a number with too many digits"
    return "is not valid JSON"


def unreadable_body(cause: BaseException | None) -> Fault:
    """Return what is wrong with a body that Python's JSON decoder or a form parser refused."""
    match cause:
        case UnicodeDecodeError():
            text = "must be JSON in UTF-8"
        case JSONDecodeError():
            text = f"is not valid JSON (line {cause.lineno}, column {cause.colno})"
        case ValueError():
            text = "has a number with too many digits"
        case RecursionError():
            text = "is nested too deeply"
        case _:
            text = "cannot be read"
    return Fault("body", text)
