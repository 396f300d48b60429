"""The log and error responses contain no secrets, no user data and no forged lines."""

from tests.mutations.mutation import Mutation

MUTATIONS = [
    Mutation(
        "token-in-the-log",
        "A reader of the log could use the token.",
        "return token.sub(REPLACEMENT, text) if holds_token(text) else text",
        "return text",
        ("test_a_token_is_removed_from_every_field_of_a_log_line",),
    ),
    Mutation(
        "encoded-token-in-the-log",
        "A reader of the log could decode the token and use it.",
        "decoded = _decoded(text)",
        "decoded: str | None = text",
        ("test_an_encoded_token_is_not_logged",),
    ),
    Mutation(
        "text-forges-a-log-line",
        "A client could write its own lines into the log.",
        'if character.isprintable() and (brackets or character not in "[]")',
        "if True",
        (
            "test_no_user_id_can_forge_a_log_line",
            "test_the_message_of_any_logger_stays_on_one_line",
        ),
    ),
    Mutation(
        "any-request-id",
        "A client could put anything into the log and into a response.",
        "is_valid = VALID_ID.fullmatch(value) and not holds_token(value.decode())",
        "is_valid = value.isascii()",
        ("test_an_invalid_id_is_replaced",),
    ),
    Mutation(
        "row-in-a-stack-trace",
        "The log would contain the titles and descriptions of users' tasks.",
        "if not isinstance(error, _SENSITIVE_ERRORS):",
        "if True:",
        ("test_a_bug_is_a_500_that_reveals_nothing",),
    ),
    Mutation(
        "reason-in-a-response",
        "A 500 would reveal what failed inside the service.",
        'return {"detail": self.detail, "code": self.code}',
        'return {"detail": str(self), "code": self.code}',
        ("test_a_bug_is_a_500_that_reveals_nothing",),
    ),
    Mutation(
        "error-without-its-headers",
        "Without Retry-After and WWW-Authenticate a client does not know what to do.",
        "JSONResponse(error.body(), error.status, error.headers)",
        "JSONResponse(error.body(), error.status)",
        (
            "test_requests_fail_while_the_database_is_gone_and_then_succeed",
            "test_every_operation_requires_a_token",
        ),
    ),
    Mutation(
        "text-of-what-a-validator-calls",
        "A client would read Python's error messages, which quote the input.",
        'return instruction == "RAISE_VARARGS" and module not in _LIBRARIES',
        "return True",
        ("test_the_text_of_a_library_that_a_validator_calls_is_not_returned",),
    ),
    Mutation(
        "words-of-a-later-pydantic",
        "If pydantic added a kind of error, a client would receive pydantic's message for it.",
        'return NOT_VALID if kind in _PYDANTIC else str(detail["msg"])',
        'return str(detail["msg"])',
        ("test_the_text_of_an_unknown_kind_of_error_is_not_quoted",),
    ),
    Mutation(
        "as-many-errors-as-faults",
        "A small body could cause a response of megabytes.",
        "for fault in self.faults[:MAX_ERRORS]",
        "for fault in self.faults",
        ("test_the_number_of_errors_is_limited_and_the_detail_says_so",),
    ),
]
