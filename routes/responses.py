"""What the OpenAPI document says about the responses of the task operations."""

import errors
from routing.openapi import error_responses

# The errors that every operation can return. Each decorator adds its own.
ALWAYS = (
    errors.InvalidInput,
    errors.NotAuthenticated,
    errors.InvalidToken,
    errors.TokenExpired,
    errors.Forbidden,
    errors.RequestTimeout,
    errors.PayloadTooLarge,
    errors.TooManyRequests,
    errors.HeadersTooLarge,
    errors.InternalError,
    errors.DatabaseUnavailable,
    errors.DatabaseNotMigrated,
    errors.Overloaded,
    errors.AuthUnavailable,
)
# Operations that take a body can also return these.
BODY = error_responses(errors.UnsupportedMediaType)
COLLECTION = error_responses(*ALWAYS)
ONE_TASK = error_responses(*ALWAYS, errors.TaskNotFound)
CHANGE = error_responses(*ALWAYS, errors.TaskNotFound, errors.PreconditionFailed)

ETAG = {
    "ETag": {
        "description": "The version of the task: its `updated_at`, in quotes.",
        "schema": {"type": "string"},
        "example": '"2026-01-09T12:30:45.123456Z"',
    }
}
CREATED_HEADERS = {
    "Location": {"schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "Sent if an earlier request with this key created the task.",
        "schema": {"type": "string", "const": "true"},
    },
}
