"""Bodies of responses."""

INVALID_TOKEN = {"detail": "The token is not valid; log in again.", "code": "INVALID_TOKEN"}
TOKEN_EXPIRED = {"detail": "The token has expired; log in again.", "code": "TOKEN_EXPIRED"}


def invalid_input(*errors: tuple[str, str]) -> dict[str, object]:
    """Return the body of a 400 for errors in some fields, each with its message."""
    return {
        "detail": " ".join(message for _, message in errors),
        "code": "VALIDATION_ERROR",
        "errors": [{"field": field, "message": message} for field, message in errors],
    }
