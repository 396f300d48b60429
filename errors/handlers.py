"""Convert exceptions to error responses."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from json import JSONDecodeError

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg2.errors import StringDataRightTruncation, UntranslatableCharacter
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.routing import BaseRoute, Match, Mount, Router
from starlette.types import Scope

from errors import (
    APIError,
    DatabaseUnavailable,
    InternalError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    is_database_at_fault,
)
from errors.faults import Fault
from errors.malformed import unreadable_body
from errors.wording import faults

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
# The detail of FastAPI's 400 for a body that it could not read, whatever the reason.
_UNREADABLE = "There was an error parsing the body"
# For a database that is not in UTF-8. The log names its encoding when the service connects to it.
NO_SUCH_CHARACTER = Fault("request", "has characters that the encoding of the database lacks")
# The encoding SQL_ASCII counts bytes instead of characters.
TOO_LONG = Fault("request", "has a text that is too long for the encoding of the database")


def api_error(error: BaseException, app: FastAPI, scope: Scope) -> APIError:
    """Return the response to `error`, any exception that the request of `scope` raised."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_input(error)
    if isinstance(error, HTTPException):
        return _http_error(error, app, scope)
    if isinstance(error, asyncio.CancelledError):  # only a shutdown cancels a request
        return DatabaseUnavailable(
            "the service stopped first; a write may or may not have happened"
        )
    if is_database_at_fault(error):
        return DatabaseUnavailable(type(error).__name__)
    if isinstance(error, UntranslatableCharacter):
        return InvalidInput(NO_SUCH_CHARACTER)
    if isinstance(error, StringDataRightTruncation):
        return InvalidInput(TOO_LONG)
    return InternalError(type(error).__name__)


def _http_error(error: HTTPException, app: FastAPI, scope: Scope) -> APIError:
    """Return one of our errors if the framework raised `error`, else an OtherError."""
    endpoint = scope.get("endpoint")
    if error.status_code == 404 and isinstance(endpoint, Router | None):  # no route has the path
        return NotFound()
    if error.status_code == 405 and error.detail == HTTPStatus(405).phrase:
        allowed = _methods_of(app, scope) | _methods_of_file(error, scope)
        if allowed and scope["method"] not in allowed:
            return MethodNotAllowed(allowed)
    if _is_unreadable_body(error):
        return InvalidInput(unreadable_body(error.__cause__))
    return OtherError(error)


def _invalid_input(error: RequestValidationError) -> InvalidInput:
    """Return the errors that FastAPI found in the input, in our words."""
    if isinstance(error.__cause__, JSONDecodeError):
        return InvalidInput(unreadable_body(error.__cause__))
    return InvalidInput(*faults(error.errors()))


def _is_unreadable_body(error: HTTPException) -> bool:
    """Return whether FastAPI or Starlette raised `error` because it could not read a body."""
    form = error.__context__
    is_form = isinstance(form, MultiPartException) and error.detail == form.message
    return error.status_code == 400 and (is_form or error.detail == _UNREADABLE)


def _methods_of(app: FastAPI, scope: Scope) -> set[str]:
    """Return every method that the routes of `app` accept on the path of `scope`."""
    # A mount has already changed `root_path` so that its own routes match.
    root_path = scope.get("app_root_path", scope.get("root_path", ""))
    return _methods(app.routes, {**scope, "root_path": root_path, "path_params": {}})


def _methods_of_file(error: HTTPException, scope: Scope) -> set[str]:
    """Return the methods of a file, which no route lists.

    StaticFiles puts them into the headers of `error`. Only the scope tells that a path belongs to
    `app.frontend()`, whose error has no header.
    """
    if "frontend_path" in scope.get("fastapi", ()):
        return {"GET", "HEAD"}
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return {method.strip() for method in headers.get("allow", "").split(",")} - {""}


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
        else:  # an included router only tells whether it accepts a given method
            asked = {method: route.matches({**scope, "method": method})[0] for method in METHODS}
            found |= {method for method, match in asked.items() if match is Match.FULL}
    return found


class OtherError(APIError):
    """The response to an HTTPException that is not one of ours.

    It adds a code and changes nothing else.
    """

    def __init__(self, error: HTTPException) -> None:
        HTTPException.__init__(self, error.status_code, error.detail, error.headers or {})
        self.reason = (
            f"{type(error).__name__} of the route"  # the detail may be private to the client
        )
        self.code = _CODES.get(error.status_code) or _code(error.status_code)

    status = property(lambda self: self.status_code)


# The codes of statuses whose name in Python differs from the code that the service uses, or depends
# on the version of Python.
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
