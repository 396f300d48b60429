"""What the annotations in the signature of an operation say about its arguments."""

from collections.abc import Callable, Sequence, Set
from typing import Any, get_args, get_origin, get_type_hints

from fastapi import params
from pydantic import BaseModel, PlainValidator


class Unsupported(Exception):
    """The signature has something that only FastAPI itself can provide."""


def require(condition: bool) -> None:
    """Raise Unsupported unless `condition` is true."""
    if not condition:
        raise Unsupported


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of `function` by name. Raises Unsupported."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:  # only FastAPI knows where to look up the name
        raise Unsupported from None


def marker_of(annotation: Any) -> Any:
    """Return the part of `annotation` that says where the value comes from, or None."""
    metadata = getattr(annotation, "__metadata__", ())
    kinds = (params.Depends, params.Param, params.Body)
    markers = [part for part in metadata if isinstance(part, kinds)]
    require(len(markers) < 2)
    return markers[0] if markers else None


def plain(annotation: Any) -> Any:
    """Return the type in `annotation`."""
    return annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation


def is_model(annotation: Any) -> bool:
    """Return whether the type is a model of pydantic."""
    kind = plain(annotation)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_unset(default: BaseModel, annotation: Any) -> bool:
    """Return whether `default` is the model of an empty body, and requests can share it."""
    is_frozen = bool(default.model_config.get("frozen"))
    return type(default) is plain(annotation) and is_frozen and not default.model_fields_set


def has_lists(annotation: Any) -> bool:
    """Return whether a field of a model has several values, which FastAPI would collect."""
    return any(is_plural(field.annotation) for field in plain(annotation).model_fields.values())


def is_plural(annotation: Any) -> bool:
    """Return whether FastAPI would collect several values for it."""
    kind = plain(annotation)
    if any(isinstance(rule, PlainValidator) for rule in getattr(annotation, "__metadata__", ())):
        return False  # it takes one text, whatever type that is converted to
    if get_args(kind) and not _is_collection(get_origin(kind)):
        return any(is_plural(each) for each in get_args(kind))
    return _is_collection(get_origin(kind) or kind)


def _is_collection(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Sequence | Set) and kind not in (str, bytes)
