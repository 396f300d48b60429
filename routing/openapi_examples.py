"""Add an example to each body in the OpenAPI document, made from the examples of its fields.

Swagger UI makes such examples itself, but Postman's converter invents random values.
"""

from contextlib import suppress
from typing import Any


class NoExample(Exception):
    """A field has no example."""


def add_example(body: dict[str, Any], models: dict[str, Any]) -> None:
    """Add an example to the JSON of a request or a response, if all of its fields have one."""
    content = body.get("content", {}).get("application/json", {})
    if "schema" in content and not content.keys() & {"example", "examples"}:
        try:
            content["example"] = _example_of(content["schema"], models)
        except NoExample:
            return


def _example_of(schema: Any, models: dict[str, Any]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in models:
            raise NoExample
        # Leave out this model. If it contains itself, the example would never end.
        others = {other: models[other] for other in models if other != name}
        return _example_of(models[name], others)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    if "const" in schema:
        return schema["const"]
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: _example_of(field, models) for name, field in fields}
    for each in schema.get("anyOf", ()):  # null has none
        with suppress(NoExample):
            return _example_of(each, models)
    if "items" in schema:
        return [_example_of(schema["items"], models)]
    raise NoExample
