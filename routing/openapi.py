"""The OpenAPI document: FastAPI's own with our errors, without responses that are never sent."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from errors import APIError, InvalidInput
from schemas import ErrorResponse, ValidationErrorResponse

TITLE = "Task Management API"
VERSION = "1.0.0"
DESCRIPTION = """\
A multi-user task service. Send the token that Better Auth gave your frontend as
`Authorization: Bearer <token>`; the path names the same user. Every error is
`{"detail": "<sentence>", "code": "<CONSTANT>"}`.
"""
# Replace these with your own.
CONTACT = {"name": "API support", "url": "https://example.com/support"}
LICENSE = {"name": "Proprietary", "url": "https://example.com/license"}
SERVERS = [{"url": "/", "description": "This service"}]
TAGS = [
    {"name": "tasks", "description": "The tasks of one user."},
    {"name": "health", "description": "For platforms and people who watch the service."},
]
# Every response has this header, so it is defined here and not with each operation.
REQUEST_ID = {
    "description": "The id of the request: the client's own, if it sent one of 1 to 128 "
    "characters of A-Z, a-z, 0-9, `.`, `_` and `-`. Quote it to support.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}
REQUEST_ID_REFERENCE = {"$ref": "#/components/headers/X-Request-ID"}
# The response that FastAPI documents for every route with input, and the one sent instead.
_FASTAPIS_422 = {
    "description": "Validation Error",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}
    },
}
_INVALID_INPUT = {
    "description": f"`{InvalidInput.code}`",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/ValidationErrorResponse"}}
    },
}


def error_responses(*errors: type[APIError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can send `errors`, for the OpenAPI document."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        response = responses.setdefault(
            error.status,
            {"model": error.model, "description": "", "content": {"application/json": {}}},
        )
        response["description"] += f"{', ' if response['description'] else ''}`{error.code}`"
        example = {"detail": error.detail, "code": error.code}
        if error is InvalidInput:
            example["errors"] = [{"field": "body.title", "message": "Field required"}]  # type: ignore[assignment]
        examples = response["content"]["application/json"].setdefault("examples", {})
        examples[error.code] = {"value": example}
        response.setdefault("headers", {}).update(
            {name: {"schema": {"type": "string"}} for name in error.headers}
        )
    return responses


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of `app`, built again when its routes change."""
    schema = FastAPI.openapi(app)
    components = schema.setdefault("components", {})
    if "X-Request-ID" in components.get("headers", {}):
        return schema
    for paths in (schema["paths"], schema.get("webhooks", {})):
        _amend(paths)
    models = components.setdefault("schemas", {})
    components["headers"] = {"X-Request-ID": REQUEST_ID}
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    for model in (ErrorResponse, ValidationErrorResponse):
        models[model.__name__]["properties"]["code"]["enum"] = _codes(model)
    return schema


def _amend(paths: dict[str, Any]) -> None:
    for path in paths.values():
        for operation in path.values():
            responses = operation["responses"]
            if responses.get("422") == _FASTAPIS_422:
                del responses["422"]
                responses.setdefault("400", deepcopy(_INVALID_INPUT))
            for response in responses.values():
                response.setdefault("headers", {})["X-Request-ID"] = REQUEST_ID_REFERENCE
            for parameter in operation.get("parameters", ()):
                _without_null(parameter)
            for callback in operation.get("callbacks", {}).values():
                _amend(callback)


def _without_null(parameter: dict[str, Any]) -> None:
    """Remove null from the schema: a parameter may be absent, but a URL can't contain null."""
    schema = parameter["schema"]
    values = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(values) == 1:
        del schema["anyOf"]
        schema.update(values[0])
    elif values:
        schema["anyOf"] = values


def _codes(model: type[ErrorResponse]) -> list[str]:
    """Return every `code` that is sent with `model`, so that a client can tell them apart."""
    kinds = [kind for kind in _kinds(APIError) if hasattr(kind, "code")]
    return sorted({kind.code for kind in kinds if kind.model is model})


def _kinds(error: type[APIError]) -> list[type[APIError]]:
    return [kind for child in error.__subclasses__() for kind in (child, *_kinds(child))]
