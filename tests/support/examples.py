"""Values from the OpenAPI document."""

from typing import Any


def examples_of(schema: Any, document: Any) -> list[Any]:
    """Return the values that a schema names: its enumeration, or its examples."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return examples_of(document["components"]["schemas"][name], document)
    for given in ("examples", "enum"):
        if given in schema:
            return list(schema[given])
    if "const" in schema:
        return [schema["const"]]
    if "anyOf" in schema:
        return [value for each in schema["anyOf"] for value in examples_of(each, document)]
    if "properties" in schema:
        fields = schema["properties"].items()
        return [{name: examples_of(field, document)[0] for name, field in fields}]
    if schema.get("type") == "array":
        return [examples_of(schema["items"], document)[:1]]
    assert schema.get("type") == "null", f"Give this an example: {schema}"
    return [None]


def example_of(schema: Any, document: Any) -> Any:
    """Return the first of the values that `examples_of` returns."""
    return examples_of(schema, document)[0]
