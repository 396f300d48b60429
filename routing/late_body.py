"""The body of a task route on FastAPI's path, which is received after the token was checked.

FastAPI reads the body before it solves the first dependency. So it gets an empty object in place of
the body, which a dependency of the route fills later.
"""

from itertools import takewhile
from typing import Any, Self

from fastapi import Request, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined as Undefined

from errors import InvalidInput
from errors.faults import Fault
from errors.wording import TEXTS
from routing.body import BoundedRequest, check_length
from routing.json_body import is_empty, parse_json


class LateBody(dict[str, Any]):
    """The JSON object of a body, empty until `receive_body` has received it."""

    def __bool__(self) -> bool:
        return True  # or FastAPI would treat the body as absent


class LateRequest(BoundedRequest):
    """A request that returns a LateBody when FastAPI reads the body, before the dependencies."""

    late: LateBody
    body_is_optional: bool
    _asked_for: set[str]

    @classmethod
    def of(cls, request: Request, body_is_optional: bool = False) -> Self:
        late = super().of(request)
        late.late = LateBody()
        late.body_is_optional = body_is_optional
        late._asked_for = set()
        return late

    async def body(self) -> bytes:
        return self.late if self._is_first("body") else await super().body()  # type: ignore[return-value]

    async def json(self) -> Any:
        return self.late if self._is_first("json") else await super().json()

    def _is_first(self, what: str) -> bool:
        """Return whether this is the first read, which is FastAPI's. Dependencies read later."""
        is_first = what not in self._asked_for
        self._asked_for.add(what)
        return is_first


def only_model(route: APIRoute) -> Any:
    """Return the parameter for the body if the body is one JSON model, else None.

    Its default, if it has one, must be an empty model, because FastAPI gets an empty object instead
    of an empty body.
    """
    field: Any = route.body_field
    if field is None or route._embed_body_fields or isinstance(field.field_info, params.Form):
        return None
    # LateBody is still empty while the dependencies before our own are solved.
    every = route.dependant.dependencies
    before = list(takewhile(lambda each: each.call is not receive_body, every))
    is_early = len(before) == len(every) or any(map(_reads_body, before))
    kind, default = field.field_info.annotation, field.default
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    is_object = is_model and not issubclass(kind, RootModel)
    is_empty = default is Undefined or (type(default) is kind and not default.model_fields_set)
    return field if is_object and is_empty and not is_early else None


def _reads_body(dependant: Any) -> bool:
    return bool(dependant.body_params) or any(map(_reads_body, dependant.dependencies))


async def receive_body(request: Request) -> None:
    """Receive the body; a dependency of TaskRoute. Raises what FastAPI raises about a body."""
    if isinstance(request, LateRequest):
        await _fill(request)
    else:
        await receive_unused(request)


async def receive_unused(request: Request) -> None:
    """Receive a body that the operation does not use, or check its declared length."""
    if "transfer-encoding" in request.headers:
        if not request._stream_consumed:  # FastAPI has read a form
            await request.body()
    else:
        check_length(request.scope)


async def _fill(request: LateRequest) -> None:
    """Receive the body, and fill the object that FastAPI got in its place."""
    body = await request.body()
    if request.body_is_optional and is_empty(body):
        return
    try:
        value = parse_json(request, body)
    except InvalidInput as malformed:
        raise _as_fastapi_would(*malformed.faults) from None
    if value is None and request.body_is_optional:
        return
    if not isinstance(value, dict):
        raise _as_fastapi_would(Fault("body", TEXTS["model_type"]))
    request.late.update(value)


def _as_fastapi_would(*faults: Fault) -> RequestValidationError:
    """Return `faults` as FastAPI's exception, for which the application may have a handler."""
    return RequestValidationError(
        [
            {"type": "body", "loc": tuple(field.split(".")), "msg": text, "input": None}
            for field, text in faults
        ]
    )
