"""A client reads the text of a developer's own validator, but never the text of a library."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, HTTPException, Response
from fastapi.testclient import TestClient
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, RootModel, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import URL
from starlette.formparsers import MultiPartException

from errors.faults import MAX_ERRORS
from schemas import Message
from tests.support.fastapi_application import PLACES, add_route, client_of, new_app
from tests.support.responses import invalid_input

SECRET = "4111-1111"


def own(value: str) -> str:
    raise ValueError("must be a weekday")


def own_sentence(value: str) -> str:
    raise ValueError("Choose a day from Monday to Friday.")


def own_subclass(value: str) -> str:
    raise NoWeekdayError("must be a weekday")


def own_after_a_library(value: str) -> str:
    try:
        return str(int(value))
    except ValueError as error:
        raise ValueError("must be a weekday") from error


def own_assertion(value: str) -> str:
    raise AssertionError("must be a weekday")


def own_kind(value: str) -> str:
    raise PydanticCustomError("no_weekday", "must be a weekday")


def unpacked(value: str) -> str:
    first, _ = value.split(",")
    return first


class NoWeekdayError(ValueError):
    pass


OWN = (own, own_subclass, own_after_a_library, own_assertion, own_kind)
LIBRARIES: tuple[Callable[[str], Any], ...] = (
    int,
    float,
    json.loads,
    UUID,
    ip_address,
    date.fromisoformat,
    lambda value: datetime.strptime(value, "%Y").replace(tzinfo=UTC),
    lambda value: date(len(value), 13, 1),
    lambda value: value.index("?"),
    unpacked,
)


class Period(BaseModel):
    start: int
    end: int

    @model_validator(mode="after")
    def in_order(self) -> "Period":
        if self.end < self.start:
            raise ValueError("start must not be after end")
        return self


class Numbers(RootModel[list[int]]):
    pass


class Even(BaseModel):
    number: Annotated[int, Field(ge=0, multiple_of=2), Message("must be an even number")]


def validating(validate: Callable[[str], Any]) -> Callable[..., Any]:
    class Body(BaseModel):
        day: Annotated[str, BeforeValidator(validate)]

    class After(BaseModel):
        day: Annotated[str, AfterValidator(validate)]

    async def endpoint(body: Body | After) -> Response:
        return Response()

    endpoint.__annotations__["body"] = After if validate in OWN else Body
    return endpoint


async def period(body: Period) -> Response:
    return Response()


async def numbers(body: Numbers) -> Response:
    return Response()


async def even(body: Even) -> Response:
    return Response()


def form() -> None:
    """Raise the error that Starlette raises for a form that it cannot parse."""
    try:
        raise MultiPartException("Missing boundary in multipart.")
    except MultiPartException as error:
        raise HTTPException(400, error.message)  # noqa: B904


@pytest.fixture(scope="module")
def extended(postgres: URL) -> Iterator[TestClient]:
    app: FastAPI = new_app(postgres)
    for place in PLACES:
        for number, validate in enumerate((*OWN, own_sentence, *LIBRARIES)):
            add_route(app, place, f"/{place}/{number}", validating(validate), "POST")
        for endpoint in (period, numbers, even, form):
            add_route(app, place, f"/{place}/{endpoint.__name__}", endpoint, "POST")
    with client_of(app) as client:
        yield client


each_place = pytest.mark.parametrize("place", PLACES)


def post(client: TestClient, path: str, body: object) -> object:
    response = client.post(path, json=body)
    assert response.status_code == 400
    return response.json()


@each_place
@pytest.mark.parametrize("number", range(len(OWN)))
def test_the_text_of_a_developers_validator_is_returned(
    extended: TestClient, place: str, number: int
) -> None:
    body = post(extended, f"/{place}/{number}", {"day": SECRET})
    assert body == invalid_input(("body.day", "day must be a weekday."))


@each_place
def test_a_whole_sentence_of_a_developers_validator_is_returned_unchanged(
    extended: TestClient, place: str
) -> None:
    body = post(extended, f"/{place}/{len(OWN)}", {"day": SECRET})
    assert body == invalid_input(("body.day", "Choose a day from Monday to Friday."))


@each_place
@pytest.mark.parametrize("number", range(len(LIBRARIES)))
def test_the_text_of_a_library_that_a_validator_calls_is_not_returned(
    extended: TestClient, place: str, number: int
) -> None:
    body = post(extended, f"/{place}/{len(OWN) + 1 + number}", {"day": SECRET})
    assert body == invalid_input(("body.day", "day is not valid."))


@each_place
def test_the_text_of_a_validator_of_the_whole_body_is_returned(
    extended: TestClient, place: str
) -> None:
    body = post(extended, f"/{place}/period", {"start": 2, "end": 1})
    assert body == invalid_input(("body", "start must not be after end."))


@each_place
@pytest.mark.parametrize("number", [-2, 1, "x", None, 2.5])
def test_a_message_replaces_the_text_of_every_rule_of_a_type(
    extended: TestClient, place: str, number: object
) -> None:
    body = post(extended, f"/{place}/even", {"number": number})
    assert body == invalid_input(("body.number", "number must be an even number."))


@each_place
def test_thousands_of_faults_make_a_small_response(extended: TestClient, place: str) -> None:
    response = extended.post(f"/{place}/numbers", content="[" + "[]," * 21_000 + "[]]",
                             headers={"Content-Type": "application/json"})  # fmt: skip
    errors = [
        {"field": f"body.{number}", "message": f"body.{number} must be a whole number."}
        for number in range(MAX_ERRORS)
    ]
    shown = " ".join(error["message"] for error in errors[:8])
    assert (response.status_code, response.json()) == (
        400,
        {"detail": f"{shown} There are more errors.", "code": "VALIDATION_ERROR", "errors": errors},
    )


@each_place
def test_an_unreadable_form_is_invalid_input(extended: TestClient, place: str) -> None:
    body = post(extended, f"/{place}/form", None)
    assert body == invalid_input(("body", "The body cannot be read."))
