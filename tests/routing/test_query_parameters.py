"""Each request has a query of its own, as in FastAPI. The fast path parses an equal one once."""

from collections.abc import Iterator
from itertools import count
from typing import Annotated, Any

import pytest
from fastapi import Query, Response
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.engine import URL

from tests.support.fastapi_application import PLACES, add_route, client_of, new_app

numbers = count()


class Filters(BaseModel):
    """A query with a default that differs each time, and a validator that changes what it gets."""

    number: int = Field(default_factory=lambda: next(numbers))
    color: str

    @model_validator(mode="before")
    @classmethod
    def _underline(cls, values: dict[str, Any]) -> dict[str, Any]:
        values["color"] = f"{values.get('color', 'none')}_"
        return values


async def show(filters: Annotated[Filters, Query()]) -> Response:
    filters.color += "!"
    return PlainTextResponse(f"{filters.number} {filters.color}")


@pytest.fixture(scope="module")
def client(postgres: URL) -> Iterator[TestClient]:
    app = new_app(postgres)
    for place in PLACES:
        add_route(app, place, f"/{place}", show)
    with client_of(app) as client:
        yield client


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("query", ["", "?color=red", f"?color={'x' * 200}"])
def test_two_requests_with_the_same_query_share_nothing(
    client: TestClient, place: str, query: str
) -> None:
    first, second = (client.get(f"/{place}{query}").text.split() for _ in range(2))
    assert int(second[0]) > int(first[0])
    assert first[1] == second[1] == f"{query[7:] or 'none'}_!"
