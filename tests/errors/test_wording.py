"""No text of pydantic, FastAPI, Starlette or a JSON decoder reaches a client.

The tests look up every error of these packages in the installed version, so they notice a new one.
"""

import ast
import json.decoder
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import fastapi
import pydantic
import pytest
import starlette
from pydantic import ValidationError
from pydantic_core import _pydantic_core, core_schema, from_json

from errors import wording
from errors.faults import MAX_ERRORS, Fault
from errors.malformed import malformed_json, unreadable_body
from errors.wording import TEXTS, faults, text_of

SENT = "what was sent"
KINDS: dict[str, Any] = {error["type"]: error for error in _pydantic_core.list_all_errors()}


def raised(error: Exception) -> Exception:
    """Return `error` with a traceback, as if a validator had raised it."""
    try:
        raise error
    except (ValueError, AssertionError) as caught:
        return caught


# Values that are empty in pydantic's example contexts.
CONTEXTS: Mapping[str, Mapping[str, Any]] = {
    "string_too_short": {"min_length": 5},
    "string_pattern_mismatch": {"pattern": "^x$"},
    "value_error": {"error": raised(ValueError("must be even"))},
    "assertion_error": {"error": raised(AssertionError("must be even"))},
}


def detail_of(kind: str) -> Any:
    """Return pydantic's details of an error of `kind`, which quote the invalid value."""
    context = dict(KINDS[kind]["example_context"] or {})
    for name, value in context.items():
        if value == "":
            context[name] = SENT if name in ("error", "tag", "encoding_error") else "a rule"
    context |= CONTEXTS.get(kind, {})
    error = ValidationError.from_exception_data(
        "Task", [{"type": kind, "loc": ("title",), "input": SENT, "ctx": context}]
    )
    [detail] = error.errors()
    return detail


def nodes(package: ModuleType, *words: str) -> Iterator[ast.AST]:
    """Yield the AST nodes of each module of `package` whose source has one of `words`."""
    for path in Path(str(package.__file__)).parent.rglob("*.py"):
        source = path.read_text()
        if "v1" not in path.parts and any(word in source for word in words):
            yield from ast.walk(ast.parse(source))


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def custom_kinds() -> set[str]:
    """Return the kinds of error that pydantic adds to those of pydantic-core."""
    found: set[str] = set()
    for node in nodes(pydantic, "PydanticCustomError", "custom_error_type"):
        named: ast.AST | None = None
        if isinstance(node, ast.Call) and name_of(node) == "PydanticCustomError":
            named = node.args[0]
        elif isinstance(node, ast.keyword) and node.arg == "custom_error_type":
            named = node.value
        if isinstance(named, ast.Constant):
            found.add(str(named.value))
    return found


def details_of(package: ModuleType) -> set[str]:
    """Return the constant details of the HTTPExceptions that a package raises."""
    return {
        str(keyword.value.value)
        for node in nodes(package, "HTTPException")
        if isinstance(node, ast.Call) and name_of(node).endswith("HTTPException")
        for keyword in node.keywords
        if keyword.arg == "detail" and isinstance(keyword.value, ast.Constant)
    }


def test_every_kind_of_pydantic_error_has_a_text() -> None:
    assert set(KINDS) == set(get_args(core_schema.ErrorType))
    own = {"value_error", "assertion_error"}
    assert set(KINDS) | custom_kinds() == set(TEXTS) | own


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_error_is_ours_and_does_not_quote_the_value(kind: str) -> None:
    detail = detail_of(kind)
    text = text_of(detail)
    assert SENT not in text
    assert not any(part in text for part in ("Input", "should", "valid string", "{", "}"))
    assert Fault("body.title", text).sentence == f"title {text}."


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "is required"),
        ("string_type", "must be text"),
        ("string_too_short", "must have at least 5 characters"),
        ("greater_than_equal", "must be at least 0"),
        ("literal_error", "must be a rule"),
        ("model_type", "must be a JSON object"),
        ("value_error", "must be even"),
        ("assertion_error", "must be even"),
        ("date_parsing", "must be a date such as 2026-01-31"),
        ("union_tag_invalid", "must have one of these as its a rule: a rule"),
        ("get_attribute_error", "is not valid"),
    ],
)
def test_the_texts_of_some_common_errors(kind: str, text: str) -> None:
    assert text_of(detail_of(kind)) == text


def test_the_text_of_an_unknown_kind_of_error_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(TEXTS, "int_type")
    assert text_of(detail_of("int_type")) == wording.NOT_VALID


@pytest.mark.parametrize(("count", "end"), [(0, "0 items"), (1, "1 item"), (21, "21 items")])
def test_a_count_of_one_is_singular(count: int, end: str) -> None:
    detail = {"type": "too_long", "ctx": {"max_length": count}}
    assert text_of(detail) == f"must have at most {end}"


# JSON: these bodies cause every error message in the source of pydantic_core's decoder.

PLACE = "is not valid JSON (line 1, column {})"
MALFORMED: dict[bytes, str] = {
    b"": "must not be empty",
    b" \n": "must not be empty",
    b"{": PLACE.format(1),
    b"[": PLACE.format(1),
    b'"abc': PLACE.format(4),
    b"tru": PLACE.format(3),
    b"truth": PLACE.format(4),
    b'{"a": NaN}': PLACE.format(7),
    b'{"a" 1}': PLACE.format(6),
    b'{"a":1 "b":2}': PLACE.format(8),
    b"[1 2]": PLACE.format(4),
    b'{"t":1,}': PLACE.format(8),
    b"[1,]": PLACE.format(4),
    b"{1:2}": PLACE.format(2),
    b"{} x": PLACE.format(4),
    b"01": PLACE.format(2),
    b"1.e": PLACE.format(3),
    b'"\x01"': PLACE.format(2),
    b'"\\x"': PLACE.format(3),
    b'"\\ud800"': PLACE.format(8),
    b'"\\ud800\\u0041"': PLACE.format(13),
    b'"\xff"': PLACE.format(2),
    b'{"a": 1,\n "b" x}': "is not valid JSON (line 2, column 6)",
    '{"é😀": x}'.encode(): PLACE.format(8),
    b"[" * 50_000: "is nested too deeply (line 1, column 202)",
    b"1" * 5000: "has a number with too many digits (line 1, column 4302)",
}


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_the_error_for_malformed_json_has_a_position_but_no_decoder_text(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1|line 2") as refused:
        from_json(body, allow_inf_nan=False)
    assert malformed_json(refused.value, body) == Fault("body", MALFORMED[body])


def test_an_unknown_text_of_the_decoder_is_not_quoted() -> None:
    assert malformed_json(ValueError("Oh no: abc"), b"abc") == Fault("body", "is not valid JSON")


def messages_of_json() -> list[str]:
    """Return the messages of Python's own decoder."""
    calls = [
        node
        for node in ast.walk(ast.parse(Path(json.decoder.__file__).read_text()))
        if isinstance(node, ast.Call) and name_of(node) == "JSONDecodeError"
    ]
    return [str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)]


@pytest.mark.parametrize("message", messages_of_json())
def test_a_message_of_pythons_decoder_is_not_quoted(message: str) -> None:
    error = json.JSONDecodeError(message, '{"a":\n  secret', 8)
    assert unreadable_body(error) == Fault("body", "is not valid JSON (line 2, column 3)")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xff", "must be JSON in UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"1" * 5000, "has a number with too many digits"),
    ],
    ids=["bytes", "depth", "digits"],
)
def test_every_other_exception_of_pythons_decoder_has_a_text(body: bytes, text: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as refused:
        json.loads(body)
    assert unreadable_body(refused.value) == Fault("body", text)
    assert unreadable_body(OSError("secret")) == Fault("body", "cannot be read")


def test_the_framework_raises_no_unknown_detail() -> None:
    """We turn the first into a VALIDATION_ERROR. FastAPI's security classes raise the second."""
    known = {"There was an error parsing the body", "Not authenticated"}
    assert details_of(fastapi) == known
    assert details_of(starlette) == set()


def test_one_more_fault_is_kept_than_a_response_shows() -> None:
    details = [{"type": "message", "loc": (f"a{number}",), "msg": "no"} for number in range(500)]
    found = faults(details, ("body",))
    assert found == [Fault(f"body.a{number}", "no") for number in range(MAX_ERRORS + 1)]
