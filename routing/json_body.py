"""Parse the JSON of a body: check its headers and its text, and describe what is wrong."""

import json
import re

from fastapi import Request
from pydantic_core import from_json

from errors import InvalidInput, UnsupportedMediaType
from errors.faults import NAME, Fault
from errors.malformed import malformed_json
from errors.wording import TEXTS

BOM = b"\xef\xbb\xbf"  # some editors and languages write it before UTF-8
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
NEEDED = "must be sent with Content-Type: application/json"


def parse_json(request: Request, body: bytes) -> object:
    """Return the value of a body, which must be JSON in the strict sense, without NaN (RFC 8259).

    Raises InvalidInput, and UnsupportedMediaType for a compressed body.
    """
    media_type: bytes | None = None
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            media_type = value if media_type is None else media_type
        elif name == b"content-encoding":
            _check_coding(value)
    if media_type != b"application/json":
        _check_media_type(media_type)
    try:
        return from_json(body.removeprefix(BOM), allow_inf_nan=False)
    except ValueError as error:
        raise _malformed(body, error) from None


def is_empty(body: bytes) -> bool:
    return not body.removeprefix(BOM).strip()


def _check_coding(value: bytes) -> None:
    codings = [coding.strip() for coding in value.decode("latin-1").split(",")]
    if applied := [coding for coding in codings if coding.lower() not in ("", "identity")]:
        raise UnsupportedMediaType(*applied)


def _check_media_type(value: bytes | None) -> None:
    media_type = (value or b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return
    message = NEEDED
    if not media_type:
        message += ", but has no Content-Type"
    elif media_type in FORMS:
        message += ", but was sent as a form, which curl -d does by itself"
    raise InvalidInput(Fault("body", message))


def _malformed(body: bytes, error: ValueError) -> InvalidInput:
    """Return the error for `body`. It names the fields if only the text in them is wrong."""
    try:
        fields = _fields_of_broken_text(body)
    except (ValueError, RecursionError):
        fields = []
    if fields:
        return InvalidInput(*(Fault(each, TEXTS["string_unicode"]) for each in fields))
    return InvalidInput(malformed_json(error, body.removeprefix(BOM)))


_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _fields_of_broken_text(body: bytes) -> list[str]:
    """Return the fields whose text has half of a surrogate pair, which Python's parser accepts.

    Raises ValueError or RecursionError if that parser can't read the body either.
    """
    if not _ESCAPED_SURROGATE.search(body):
        return []
    value = json.loads(body.removeprefix(BOM))
    fields = value.items() if isinstance(value, dict) else ()
    names = [name for name, part in fields if NAME.fullmatch(name) and _is_broken(part)]
    return [f"body.{name}" for name in names] or ["body"] * _is_broken(value)


def _is_broken(value: object) -> bool:
    return _SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None
