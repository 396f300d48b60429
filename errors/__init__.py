"""Every error response.

Only `handlers.py` converts exceptions to these errors. `faults.py` describes in sentences what is
wrong with input. `wording.py` has the texts for errors that pydantic finds, and `malformed.py` has
those for bodies that can't be read.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import psycopg2
from psycopg2 import errors as postgres
from starlette.exceptions import HTTPException

from errors.faults import MAX_ERRORS, NAME, Fault, detail_of
from schemas import ErrorResponse, ValidationErrorResponse


class APIError(HTTPException):
    """A response of 400 or above. `reason` goes to the log and never to the client.

    It is an HTTPException, so that an `exception_handler` for that class, or for a status, receives
    it too.
    """

    status: ClassVar[int]
    code: str
    detail: str
    headers: Mapping[str, str] = {}
    model: ClassVar[type[ErrorResponse]] = ErrorResponse

    def __init__(self, reason: str = "") -> None:
        super().__init__(self.status, self.detail, self.headers)
        self.reason = reason

    def body(self) -> dict[str, Any]:
        return {"detail": self.detail, "code": self.code}

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Return a body for the documentation."""
        return {"detail": cls.detail, "code": cls.code}


class InvalidInput(APIError):
    """The response to input that breaks rules. `detail` names as many of them as fit."""

    status = 400
    code = "VALIDATION_ERROR"
    model = ValidationErrorResponse

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        self.detail = detail_of(faults)
        super().__init__()

    def body(self) -> dict[str, Any]:
        errors = [
            {"field": fault.field, "message": fault.sentence} for fault in self.faults[:MAX_ERRORS]
        ]
        return {**super().body(), "errors": errors}

    @classmethod
    def example(cls) -> dict[str, Any]:
        return cls(Fault("body.title", "must have at most 200 characters")).body()


class OriginNotAllowed(APIError):
    status = 400
    code = "ORIGIN_NOT_ALLOWED"
    detail = (
        "Cross-origin requests from this origin, or with this method or header, are not allowed."
    )


class NotAuthenticated(APIError):
    status = 401
    code = "NOT_AUTHENTICATED"
    detail = "Log in first: the request has no token (Authorization: Bearer <token>)."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidToken(NotAuthenticated):
    code = "INVALID_TOKEN"
    detail = "The token is not valid; log in again."


class TokenExpired(NotAuthenticated):
    code = "TOKEN_EXPIRED"
    detail = "The token has expired; log in again."


class Forbidden(APIError):
    status = 403
    code = "FORBIDDEN"
    detail = "These are not your tasks."


class TaskNotFound(APIError):
    status = 404
    code = "TASK_NOT_FOUND"
    detail = "There is no such task."


class NotFound(APIError):
    status = 404
    code = "NOT_FOUND"
    detail = "There is nothing at this path."


class MethodNotAllowed(APIError):
    status = 405
    code = "METHOD_NOT_ALLOWED"
    detail = "This path does not accept this method; the Allow header lists its methods."

    def __init__(self, allowed: set[str]) -> None:
        super().__init__()
        self.headers = {"Allow": ", ".join(sorted(allowed))}


class RequestTimeout(APIError):
    status = 408
    code = "REQUEST_TIMEOUT"
    detail = "The request did not arrive in time; send it again."
    headers: Mapping[str, str] = {"Connection": "close"}


class IdempotencyKeyReused(APIError):
    status = 409
    code = "IDEMPOTENCY_KEY_REUSED"
    detail = "This Idempotency-Key was used with another body; use a new one."


class PreconditionFailed(APIError):
    status = 412
    code = "PRECONDITION_FAILED"
    detail = "The task has changed since you read it; read it again."


class ETagChangedByProxy(PreconditionFailed):
    detail = (
        "A proxy changed the task's ETag: it added W/ or a suffix such as -gzip. Send the ETag in "
        "If-Match without that, or turn off compression in the proxy."
    )


class PayloadTooLarge(APIError):
    status = 413
    code = "PAYLOAD_TOO_LARGE"
    detail = "The body is larger than 64 KiB."
    headers: Mapping[str, str] = {"Connection": "close"}


class UnsupportedMediaType(APIError):
    """The response to a compressed body.

    Its Accept-Encoding says what is accepted (RFC 9110, section 12.5.3).
    """

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    detail = "The body has a Content-Encoding; send it without one."
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}

    def __init__(self, *codings: str) -> None:
        super().__init__()
        if codings and all(NAME.fullmatch(coding) for coding in codings[:MAX_ERRORS]):
            named = ", ".join(codings[:MAX_ERRORS])
            self.detail = f"The body has Content-Encoding: {named}; send it without one."


class TooManyRequests(APIError):
    status = 429
    code = "TOO_MANY_REQUESTS"
    detail = "Too many of your requests are waiting; send fewer at once."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class HeadersTooLarge(APIError):
    status = 431
    code = "HEADERS_TOO_LARGE"
    detail = "The path and the headers are larger than 64 KiB, or there are over 100 headers."
    headers: Mapping[str, str] = {"Connection": "close"}


class MethodNotImplemented(APIError):
    status = 501
    code = "NOT_IMPLEMENTED"
    detail = "This server does not implement this request method."
    headers: Mapping[str, str] = {"Connection": "close"}


class TransferEncodingNotImplemented(APIError):
    status = 501
    code = "NOT_IMPLEMENTED"
    detail = "The only transfer encoding that this server supports is chunked."
    headers: Mapping[str, str] = {"Connection": "close"}


class HTTPVersionNotSupported(APIError):
    status = 505
    code = "HTTP_VERSION_NOT_SUPPORTED"
    detail = "This server supports HTTP/1.1 and HTTP/1.0 only."
    headers: Mapping[str, str] = {"Connection": "close"}


class InternalError(APIError):
    status = 500
    code = "INTERNAL_ERROR"
    detail = "Something went wrong on our side."


class DatabaseUnavailable(APIError):
    status = 503
    code = "DATABASE_UNAVAILABLE"
    detail = "The database cannot be reached at the moment; try again."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class DatabaseUnusable(DatabaseUnavailable):
    """The database responds, but its set-up does not allow the service to use it.

    The response is the same as for DatabaseUnavailable, because only an operator can do something
    about the difference.
    """


class DatabaseNotMigrated(APIError):
    status = 503
    code = "DATABASE_NOT_MIGRATED"
    detail = "The database is not yet migrated to this release of the service; try again later."
    headers: Mapping[str, str] = {"Retry-After": "5"}


class Overloaded(APIError):
    status = 503
    code = "OVERLOADED"
    detail = "There are more requests than can be answered in time; try again."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class AuthUnavailable(APIError):
    status = 503
    code = "AUTH_UNAVAILABLE"
    detail = "The signing key of the token is currently unavailable; try again."
    headers: Mapping[str, str] = {"Retry-After": "30"}

    def __init__(self, reason: str = "", seconds: int = 30) -> None:
        super().__init__(reason)
        self.headers = {"Retry-After": str(seconds)}


# Errors that the database causes, not the statement. The classes stand for SQLSTATEs
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_DATABASE_AT_FAULT = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    postgres.InsufficientPrivilege,
    postgres.ReadOnlySqlTransaction,
    TimeoutError,
)


def is_database_at_fault(error: BaseException | None) -> bool:
    """Return whether the same statement may succeed at another time."""
    return isinstance(getattr(error, "orig", error), _DATABASE_AT_FAULT)
