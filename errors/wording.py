"""Our messages for the errors that pydantic and FastAPI find in input.

Their own messages are for programmers, may repeat the input, and change between versions.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dis import opname
from itertools import islice
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import core_schema

from errors.faults import MAX_ERRORS, NAME, Fault, field_name
from schemas import NO_NUL, NOT_BLANK

NOT_VALID = "is not valid"  # used if only a library's own message says more
_PYDANTIC = frozenset(get_args(core_schema.ErrorType))
_LIBRARIES = {*sys.stdlib_module_names, "pydantic", "pydantic_core", "fastapi", "starlette"}
_RAISED = ("value_error", "assertion_error")  # by a validator, perhaps a developer's own

# Errors whose location ends with a name that the client made up. schemas.py defines the second.
_UNKNOWN = ("extra_forbidden", "unknown_parameter")

# Each text, and the types of error that it is for: first those of pydantic-core
# (https://docs.pydantic.dev/latest/errors/validation_errors/), then those of pydantic itself. The
# values in braces come from the rules, never from the input.
_TEXTS = {
    "is required": """missing missing_argument missing_keyword_only_argument
        missing_positional_only_argument""",
    "is not known": "extra_forbidden unexpected_keyword_argument unexpected_positional_argument",
    "cannot be changed": "frozen_field frozen_instance",
    "must be a JSON object": """model_type model_attributes_type dataclass_type dict_type
        mapping_type frozen_dict_type ordered_dict_type counter_type""",
    "must be a list or a JSON object": "named_tuple_type arguments_type",
    "must be a list": """list_type tuple_type set_type frozen_set_type deque_type iterable_type
        sequence_str""",
    "must be null": "none_required",
    "must be greater than {gt}": "greater_than",
    "must be at least {ge}": "greater_than_equal",
    "must be less than {lt}": "less_than",
    "must be at most {le}": "less_than_equal",
    "must be a multiple of {multiple_of}": "multiple_of",
    "must be a finite number": "finite_number",
    "must have at least {min_length} items": "too_short",
    "must have at most {max_length} items": "too_long",
    "must be text": "string_type bytes_type",
    "must be valid Unicode, without half of a surrogate pair": "string_unicode",
    "must have at least {min_length} characters": "string_too_short",
    "must have at most {max_length} characters": "string_too_long url_too_long",
    "must have only ASCII characters": "string_not_ascii",
    "must have at least {min_length} bytes": "bytes_too_short",
    "must have at most {max_length} bytes": "bytes_too_long",
    "must be encoded as {encoding}": "bytes_invalid_encoding",
    "does not have the required form": "string_pattern_mismatch",
    "must be {expected}": "literal_error enum",
    "must be true or false": "bool_type bool_parsing",
    "must be a whole number": "int_type int_parsing int_from_float",
    "has too many digits": "int_parsing_size",
    "must be a number": "float_type float_parsing decimal_type decimal_parsing",
    "must have at most {max_digits} digits": "decimal_max_digits",
    "must have at most {decimal_places} digits after the decimal point": "decimal_max_places",
    "must have at most {whole_digits} digits before the decimal point": "decimal_whole_digits",
    "must be a fraction such as 1/3": "fraction_type fraction_parsing",
    "must be a complex number such as 1+2j": "complex_type complex_str_parsing",
    "must be a date such as 2026-01-31": "date_type date_parsing date_from_datetime_parsing",
    "must be a date without a time": "date_from_datetime_inexact",
    "must be in the past": "date_past datetime_past",
    "must be in the future": "date_future datetime_future",
    "must be a time such as 14:30:00": "time_type time_parsing",
    "must be a date and time such as 2026-01-31T14:30:00Z": """datetime_type datetime_parsing
        datetime_object_invalid datetime_from_date_parsing""",
    "must have no time zone": "timezone_naive",
    "must have a time zone": "timezone_aware",
    "must be {tz_expected} seconds ahead of UTC": "timezone_offset",
    "must be a duration such as P1DT2H": "time_delta_type time_delta_parsing",
    "must be a UUID such as 123e4567-e89b-42d3-a456-426614174000": "uuid_type uuid_parsing",
    "must be a UUID of version {expected_version}": "uuid_version",
    "must be a URL such as https://example.com": "url_type url_parsing url_syntax_violation",
    "must be a URL that begins with {expected_schemes}": "url_scheme",
    "must have one of these as its {discriminator}: {expected_tags}": "union_tag_invalid",
    "must have a known {discriminator}": "union_tag_not_found",
    "must be valid JSON": "json_invalid json_type invalid-json-value",
    "must not contain itself": "recursion_loop",
    "is nested too deeply": "recursion_depth_exceeded",
    "must not repeat an argument": "multiple_argument_values",
    "must be an IPv4 address": "ip_v4_address ip_v4_interface ip_v4_network",
    "must be an IPv6 address": "ip_v6_address ip_v6_interface ip_v6_network",
    "must be an IP address": "ip_any_address ip_any_interface ip_any_network",
    "must be a size such as 10 MB": "byte_size byte_size_unit",
    "must be a color such as #ff8800": "color_error",
    "must be a card number": """payment_card_number_digits payment_card_number_luhn
        payment_card_number_brand""",
    "must be Base64": "base64_decode",
    "must be a regular expression": """pattern_type pattern_str_type pattern_bytes_type
        pattern_regex""",
    "must be a time zone such as Europe/Berlin": "zoneinfo_str",
    "must be a name and an e-mail address": "name_email_type",
    # Errors about Python objects rather than about input.
    NOT_VALID: """no_such_attribute needs_python_object invalid_key get_attribute_error
        dataclass_exact_type default_factory_not_called iteration_error set_item_not_hashable
        missing_sentinel_error ellipsis_error is_instance_of is_subclass_of callable_type
        is_type is_hashable import_error path_type path_not_file path_not_socket
        path_not_directory path_exists parent_does_not_exist predicate_failed
        not_operation_failed""",
}
TEXTS = {kind: text for text, kinds in _TEXTS.items() for kind in kinds.split()}
# Our own patterns, and what each of them requires.
_PATTERNS = {
    NO_NUL: "must not contain a NUL character",
    NOT_BLANK: "must not be blank or contain a NUL character",
}


def faults_of(error: ValidationError, location: tuple[str, ...]) -> list[Fault]:
    """Return the errors that pydantic found in the value at `location`."""
    return faults(error.errors(include_url=False), location)


def faults(details: Iterable[Mapping[str, Any]], location: tuple[str, ...] = ()) -> list[Fault]:
    """Return pydantic's details in our words.

    The list may have one fault more than a response shows, so that `detail_of` can say that there
    are more.
    """
    found = (
        _fault((*location, *detail["loc"]), detail) for detail in islice(details, MAX_ERRORS + 1)
    )
    return list(dict.fromkeys(found))  # several parts of a union may have the same error


def _fault(location: Sequence[int | str], detail: Mapping[str, Any]) -> Fault:
    text = text_of(detail)
    if detail["type"] in _UNKNOWN and not NAME.fullmatch(str(location[-1])):
        return Fault(field_name(location[:-1]), f"has a name that {text}")
    return Fault(field_name(location), text)


def text_of(detail: Mapping[str, Any]) -> str:
    """Return what is wrong, as a sentence without its subject.

    A developer's own text is kept: that of a ValueError, an AssertionError or a PydanticCustomError
    that a validator raised, and that of a `Message` (schemas.py).
    """
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind in _RAISED:
        return _raised(context.get("error"))
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    if kind == "string_too_short" and context["min_length"] == 1:
        return "must not be blank"
    if kind in TEXTS:
        return _filled(TEXTS[kind], context)
    return NOT_VALID if kind in _PYDANTIC else str(detail["msg"])


def _filled(text: str, context: Mapping[str, Any]) -> str:
    filled = re.sub(r"'([^']*)'", r"\1", text.format_map(context))  # no quotes in 'asc' or 'desc'
    return re.sub(r"\b1 (character|item|byte|digit)s\b", r"1 \1", filled)


def _raised(error: BaseException | None) -> str:
    return str(error) if error and str(error) and _is_own(error) else NOT_VALID


def _is_own(error: BaseException) -> bool:
    """Return whether a developer's own `raise` made `error`, and not Python or a library.

    A validator may call `int(value)` or `json.loads(value)`, whose messages repeat the input.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:  # no Python code raised it, as with BeforeValidator(int)
        return False
    module = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
    instruction = opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]]
    return instruction == "RAISE_VARARGS" and module not in _LIBRARIES
