"""Every error response, and the one place where an exception becomes a response."""

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import psycopg2
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg2 import errors as postgres
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount, Router
from starlette.types import Scope

from schemas import ErrorResponse, FieldError, ValidationErrorResponse

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


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


class InvalidInput(APIError):
    status = 400
    code = "VALIDATION_ERROR"
    detail = "The request breaks a rule; see errors."
    model = ValidationErrorResponse

    def __init__(self, *errors: FieldError) -> None:
        super().__init__()
        self.errors = errors

    def body(self) -> dict[str, Any]:
        return {**super().body(), "errors": [error.model_dump() for error in self.errors]}


class OriginNotAllowed(APIError):
    status = 400
    code = "ORIGIN_NOT_ALLOWED"
    detail = (
        "Cross-origin requests from this origin, or with this method or header, are not allowed."
    )


class NotAuthenticated(APIError):
    status = 401
    code = "NOT_AUTHENTICATED"
    detail = "Send a token: Authorization: Bearer <token>."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidToken(NotAuthenticated):
    code = "INVALID_TOKEN"
    detail = "The token is not valid."


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
    detail = "This path does not know this method; see the Allow header."

    def __init__(self, allowed: set[str]) -> None:
        super().__init__()
        self.headers = {"Allow": ", ".join(sorted(allowed))}


class RequestTimeout(APIError):
    status = 408
    code = "REQUEST_TIMEOUT"
    detail = "The request did not arrive in time."
    headers: Mapping[str, str] = {"Connection": "close"}


class IdempotencyKeyReused(APIError):
    status = 409
    code = "IDEMPOTENCY_KEY_REUSED"
    detail = "This Idempotency-Key was used for another body; take a new one."


class PreconditionFailed(APIError):
    status = 412
    code = "PRECONDITION_FAILED"
    detail = "The task has changed since you read it; read it again."


class PayloadTooLarge(APIError):
    status = 413
    code = "PAYLOAD_TOO_LARGE"
    detail = "The body is larger than 64 KiB."
    headers: Mapping[str, str] = {"Connection": "close"}


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
    detail = "This server does not know this request method."
    headers: Mapping[str, str] = {"Connection": "close"}


class TransferEncodingNotImplemented(APIError):
    status = 501
    code = "NOT_IMPLEMENTED"
    detail = "The only transfer encoding that this server reads is chunked."
    headers: Mapping[str, str] = {"Connection": "close"}


class HTTPVersionNotSupported(APIError):
    status = 505
    code = "HTTP_VERSION_NOT_SUPPORTED"
    detail = "This server speaks HTTP/1.1."
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


class Overloaded(APIError):
    status = 503
    code = "OVERLOADED"
    detail = "There are more requests than can be answered in time; try again."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class AuthUnavailable(APIError):
    status = 503
    code = "AUTH_UNAVAILABLE"
    detail = "The key of the token cannot be had at the moment; try again."
    headers: Mapping[str, str] = {"Retry-After": "30"}

    def __init__(self, reason: str = "", seconds: int = 30) -> None:
        super().__init__(reason)
        self.headers = {"Retry-After": str(seconds)}


# Errors that are the fault of the database and not of the statement. The classes name SQLSTATEs
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_DATABASE_AT_FAULT = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    postgres.ReadOnlySqlTransaction,
    TimeoutError,
)


def is_database_at_fault(error: BaseException | None) -> bool:
    """Return whether the same statement may well succeed at another time."""
    return isinstance(getattr(error, "orig", error), _DATABASE_AT_FAULT)


class OtherError(APIError):
    """The response to an HTTPException that is not one of ours.

    It adds a code and changes nothing else.
    """

    def __init__(self, error: HTTPException) -> None:
        HTTPException.__init__(self, error.status_code, error.detail, error.headers or {})
        self.reason = (
            f"{type(error).__name__} of the route"  # the detail may be for the client only
        )
        self.code = _CODES.get(error.status_code) or _code(error.status_code)

    status = property(lambda self: self.status_code)


# Statuses whose name is not the code that the service already uses, or differs between versions of
# Python.
_CODES = {
    413: "PAYLOAD_TOO_LARGE",
    416: "RANGE_NOT_SATISFIABLE",
    422: "UNPROCESSABLE_CONTENT",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
}


def _code(status: int) -> str:
    try:
        return HTTPStatus(status).name
    except ValueError:
        return f"HTTP_{status}"


_MESSAGES = {
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_pattern_mismatch": "must hold no NUL character, and a title not white space alone",
    "string_unicode": "must be valid Unicode, without lone surrogates",
}


def field_errors(error: ValidationError, location: tuple[str, ...]) -> list[FieldError]:
    """Return pydantic's errors in our words, without `input`, which echoes the client."""
    return [
        _field_error((*location, *detail["loc"]), detail["type"], detail["msg"])
        for detail in error.errors(include_url=False, include_input=False)
    ]


def _field_error(location: Iterable[int | str], kind: str, message: str) -> FieldError:
    return FieldError(
        field=".".join(str(part) for part in location),
        message=_MESSAGES.get(kind, message).removeprefix("Value error, "),
    )


def _invalid_request(error: RequestValidationError) -> InvalidInput:
    """Return the errors that FastAPI found in the input, in the words of `field_errors`."""
    return InvalidInput(
        *(
            FieldError(field="body", message="must be JSON")
            if detail["type"] == "json_invalid"
            else _field_error(detail["loc"], detail["type"], detail["msg"])
            for detail in error.errors()
        )
    )


def api_error(error: BaseException, app: FastAPI, scope: Scope) -> APIError:
    """Return the response to any exception of the request of `scope`."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, HTTPException):
        return _http_error(error, app, scope)
    if isinstance(error, asyncio.CancelledError):  # only a stop of the service cancels a request
        return DatabaseUnavailable(
            "the service stopped first; a write may or may not have happened"
        )
    if is_database_at_fault(error):
        return DatabaseUnavailable(type(error).__name__)
    return InternalError(type(error).__name__)


def _http_error(error: HTTPException, app: FastAPI, scope: Scope) -> APIError:
    """Return one of our errors for an exception of the framework, else OtherError."""
    endpoint = scope.get("endpoint")
    if error.status_code == 404 and isinstance(endpoint, Router | None):  # no route has the path
        return NotFound()
    if error.status_code == 405 and error.detail == HTTPStatus(405).phrase:
        allowed = _methods_of(app, scope)
        if scope["method"] not in allowed:
            return MethodNotAllowed(allowed)
    if error.status_code == 400 and isinstance(error.__cause__, UnicodeDecodeError):
        return InvalidInput(FieldError(field="body", message="must be JSON in UTF-8"))
    return OtherError(error)


def _methods_of(app: FastAPI, scope: Scope) -> set[str]:
    """Return every method that the routes of `app` accept on the path of `scope`."""
    # A mount has already changed the scope so that its own routes match.
    root_path = scope.get("app_root_path", scope.get("root_path", ""))
    return _methods(app.routes, {**scope, "root_path": root_path, "path_params": {}})


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    found: set[str] = set()
    for route in routes:
        match, inner = route.matches(scope)
        if match is Match.NONE:
            continue
        if hasattr(route, "methods"):
            found |= route.methods or set()
        elif isinstance(route, Mount):
            found |= _methods(route.routes, {**scope, **inner})
        else:  # an included router shows only whether it accepts a method
            asked = {method: route.matches({**scope, "method": method})[0] for method in METHODS}
            found |= {method for method, match in asked.items() if match is Match.FULL}
    return found
