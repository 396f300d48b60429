"""The OpenAPI document: FastAPI's, with our errors and without responses that are never sent."""

import json
import re
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi._compat import get_definitions
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_fields_from_routes

from errors import APIError, InvalidInput
from routing.openapi_examples import add_example
from schemas import ErrorResponse, ValidationErrorResponse

TITLE = "Task Management API"
VERSION = "1.0.0"
DESCRIPTION = """\
A multi-user task service. Send the token of your frontend's Better Auth as
`Authorization: Bearer <token>`; the path names the same user. Every error is
`{"detail": "<sentence>", "code": "<CONSTANT>"}`.
"""
LICENSE = {"name": "MIT", "identifier": "MIT"}
TAGS = [
    {"name": "tasks", "description": "The tasks of one user."},
    {"name": "health", "description": "For platforms and people who watch the service."},
]
# Every response has this header, so it is defined here rather than with each operation.
REQUEST_ID = {
    "description": "The id of the request: the client's own, if it sent one of 1 to 128 "
    "characters of A-Z, a-z, 0-9, `.`, `_` and `-`. Quote it to support.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}
REQUEST_ID_REFERENCE = {"$ref": "#/components/headers/X-Request-ID"}
# The response that FastAPI documents for every route with input, and the models of this response.
_FASTAPIS_422 = {
    "description": "Validation Error",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}
    },
}
_FASTAPIS_MODELS = ("HTTPValidationError", "ValidationError")  # the first refers to the second


def error_responses(*errors: type[APIError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can send `errors`, for the OpenAPI document."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        response = responses.setdefault(
            error.status,
            {"model": error.model, "description": "", "content": {"application/json": {}}},
        )
        response["description"] += f"{', ' if response['description'] else ''}`{error.code}`"
        examples = response["content"]["application/json"].setdefault("examples", {})
        examples[error.code] = {"value": error.example()}
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
    app.openapi_schema = None  # if an amendment fails, don't serve the others without it
    models = components.setdefault("schemas", {})
    names, own = _models_of(app)
    for name in own.keys() & _FASTAPIS_MODELS:  # FastAPI has replaced it with its own
        models[name] = jsonable_encoder(own[name], exclude_none=True)
    for model in (ErrorResponse, ValidationErrorResponse):
        for name in names.get(model, ()):
            models[name]["properties"]["code"]["enum"] = _codes(model)
    for paths in (schema["paths"], schema.get("webhooks", {})):
        _amend(paths, models, _invalid_input(names))
    for name in _FASTAPIS_MODELS:
        if name not in own and name not in _references(schema):
            models.pop(name, None)
    components["headers"] = {"X-Request-ID": REQUEST_ID}
    app.openapi_schema = schema
    return schema


def _models_of(app: FastAPI) -> tuple[dict[Any, set[str]], dict[str, Any]]:
    """Return the names of each model of the routes in the document, and the schemas by name.

    FastAPI renames the models if several have the same name.
    """
    mapping, schemas = get_definitions(
        fields=get_fields_from_routes([*app.routes, *app.webhooks.routes]),
        model_name_map={},  # not used
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    names: dict[Any, set[str]] = {}
    for (field, _), schema in mapping.items():
        model = field.field_info.annotation
        if isinstance(model, type) and "$ref" in schema:
            names.setdefault(model, set()).add(schema["$ref"].rpartition("/")[2])
    return names, schemas


def _invalid_input(names: dict[Any, set[str]]) -> dict[str, Any]:
    """Return the response that is sent instead of FastAPI's 422."""
    response: dict[str, Any] = {"description": f"`{InvalidInput.code}`"}
    for name in names.get(ValidationErrorResponse, ()):
        schema = {"$ref": f"#/components/schemas/{name}"}
        response["content"] = {"application/json": {"schema": schema}}
    return response


def _amend(paths: dict[str, Any], models: dict[str, Any], invalid_input: dict[str, Any]) -> None:
    returned = _references([each["responses"] for path in paths.values() for each in path.values()])
    requested = {name: models[name] for name in models.keys() - returned}
    for template, path in paths.items():
        for operation in path.values():
            responses = operation["responses"]
            if responses.get("422") == _FASTAPIS_422:
                del responses["422"]
                responses.setdefault("400", deepcopy(invalid_input))
            for response in responses.values():
                response.setdefault("headers", {})["X-Request-ID"] = REQUEST_ID_REFERENCE
            _describe_defaults(operation.get("requestBody", {}), requested)
            for body in (operation.get("requestBody", {}), *responses.values()):
                add_example(body, models)
            parameters = operation.get("parameters", [])
            _sort_as_in_path(template, parameters)
            for parameter in parameters:
                _without_null(parameter)
            for callback in operation.get("callbacks", {}).values():
                _amend(callback, models, invalid_input)


def _sort_as_in_path(template: str, parameters: list[dict[str, Any]]) -> None:
    """Put path parameters first, in the order of the path, because generated functions keep it.

    FastAPI puts a dependency's parameters, such as `user_id`, after those of the endpoint.
    """
    places = {name: place for place, name in enumerate(re.findall(r"{(\w+)}", template))}
    parameters.sort(
        key=lambda each: places.get(
            each.get("name") if each.get("in") == "path" else None, len(places)
        )
    )


def _references(part: Any) -> set[str]:
    """Return the names of the models that a part of the document refers to."""
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(part)))


def _describe_defaults(body: dict[str, Any], models: dict[str, Any]) -> None:
    """Move the defaults of a body's fields into their descriptions, if `models` has its model.

    openapi-typescript makes a field with a default required, so adding such a field would break
    clients.
    """
    schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    model = models.get(schema.get("$ref", "").rpartition("/")[2], {})
    for field in model.get("properties", {}).values():
        if "default" in field:
            words = f"Default: {json.dumps(field.pop('default'))}."
            field["description"] = f"{field.get('description', '')} {words}".lstrip()


def _without_null(parameter: dict[str, Any]) -> None:
    """Remove null from the schema. A parameter may be absent, but a URL can't contain null."""
    schema = parameter.get("schema", {})
    values = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(values) == 1:
        del schema["anyOf"]
        schema.update(values[0])
    elif values:
        schema["anyOf"] = values


def _codes(model: type[ErrorResponse]) -> list[str]:
    """Return every `code` that is sent with `model`, by which clients can tell errors apart."""
    kinds = [kind for kind in _kinds(APIError) if hasattr(kind, "code")]
    return sorted({kind.code for kind in kinds if kind.model is model})


def _kinds(error: type[APIError]) -> list[type[APIError]]:
    return [kind for child in error.__subclasses__() for kind in (child, *_kinds(child))]
