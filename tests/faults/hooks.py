"""Leads schemathesis to where there is something to test. It is loaded by SCHEMATHESIS_HOOKS.

Only what the document allows is changed, and only where no document could say what is right: a
request that breaks a rule goes out as it was generated, and no check is told to look away.
"""

from typing import Any

import schemathesis
from pydantic import ValidationError
from schemathesis import GenerationMode

from models import USER_ID_LENGTH
from schemas import TaskQuery
from tasks.pagination import Position, encode_cursor


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Puts the token's user, a real cursor and a real condition in place of others.

    A document can't say that `status` and `completed` must agree either.
    """
    user_id = (case.path_parameters or {}).get("user_id")
    if isinstance(user_id, str) and 1 <= len(user_id) <= USER_ID_LENGTH:
        case.path_parameters["user_id"] = "alice"
    is_list, query = case.operation.label == "GET /api/{user_id}/tasks", case.query or {}
    if is_list and "completed" in query and is_meant_valid(case):
        query.pop("status", None)
    if is_list and "cursor" in query:
        query["cursor"] = real_cursor(query)
    for name in ("If-Match", "If-None-Match"):
        # What schemathesis sends as valid when it fails to make a string of the pattern, which
        # `0` does not match.
        if is_meant_valid(case) and case.headers and case.headers.get(name) == "0":
            case.headers[name] = "*"


def is_meant_valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


def real_cursor(query: dict[str, Any]) -> Any:
    """A cursor as the service makes it. It is opaque: a schema can't tell it from other strings."""
    try:
        asked = TaskQuery.model_validate(query)
    except ValidationError:
        return query["cursor"]
    key = "Buy milk" if asked.sort == "title" else "2026-01-09T12:30:45.123456Z"
    return encode_cursor(Position(key, 1), asked)
