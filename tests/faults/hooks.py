"""Hooks that give schemathesis values with which requests succeed. SCHEMATHESIS_HOOKS loads them.

The hooks change only values that the document allows, and only where a document can't say which
value is right. A request that breaks a rule is sent as generated, and no check is turned off.
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
    """Replace the user with the token's, and cursors and conditions with real ones.

    If there is a `completed`, drop `status`: a document can't say that the two must agree.
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
        # If schemathesis fails to generate a string of the pattern, it sends `0` as valid,
        # although `0` does not match the pattern.
        if is_meant_valid(case) and case.headers and case.headers.get(name) == "0":
            case.headers[name] = "*"


def is_meant_valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


def real_cursor(query: dict[str, Any]) -> Any:
    """Return a cursor as the service makes it. To a schema, a cursor is like any other string."""
    try:
        asked = TaskQuery.model_validate(query)
    except ValidationError:
        return query["cursor"]
    key = "Buy milk" if asked.sort == "title" else "2026-01-09T12:30:45.123456Z"
    return encode_cursor(Position(key, 1), asked)
