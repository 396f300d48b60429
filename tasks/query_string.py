"""Check the rules for a query that its model can't check, because they need the whole request."""

from urllib.parse import unquote_to_bytes

from fastapi import Request

from errors import InvalidInput
from errors.faults import Fault
from schemas import StrictQuery


def check_query_string(request: Request, query: StrictQuery, user_id: str) -> None:
    """Refuse a parameter that was sent twice, and a `user_id` that differs from the path's.

    Otherwise the service would have to choose between two values. Raises InvalidInput, which
    repeats the names of parameters, so `query` must have refused unknown ones.
    """
    text: bytes = request.scope["query_string"]
    if "q" in query.model_fields_set:
        _check_encoding(text)
    is_plain = text.count(b"&") < len(query.model_fields_set) and not query.model_extra
    if is_plain or not text:
        return
    sent = request.query_params
    repeated = [name for name in sent if len(sent.getlist(name)) > 1]
    faults = [Fault(f"query.{name}", "must be sent only once") for name in repeated]
    if sent.get("user_id", user_id) != user_id:
        faults.append(Fault("query.user_id", "must be the same as in the path"))
    if faults:
        raise InvalidInput(*faults)


def _check_encoding(text: bytes) -> None:
    """Refuse a query that is not percent-encoded UTF-8. Raises InvalidInput.

    Starlette replaces invalid bytes with other characters, and would search for those.
    """
    try:
        text.decode("ascii")
        unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidInput(Fault("query.q", "must be percent-encoded UTF-8")) from None
