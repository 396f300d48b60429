"""What is answered is what is documented."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel

from routes.representations import Task, TaskList
from schemas import TaskListResponse, TaskResponse

Create = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("written", "model"), [(Task, TaskResponse), (TaskList, TaskListResponse)])
def test_the_fields_are_those_of_the_schema(
    written: type[msgspec.Struct], model: type[BaseModel]
) -> None:
    assert written.__struct_fields__ == tuple(model.model_fields)


def documented(answer: httpx.Response, model: type[BaseModel]) -> Any:
    """The JSON of `answer`, which has the fields of `model` in its order and no others."""
    model.model_validate_json(answer.content, strict=True, extra="forbid")
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == list(model.model_fields)
    return answer.json()


@pytest.mark.parametrize(
    "description", [None, "", '"quoted" \\ and\nbroken', "\x01\x1f\x7f \u2028 é 😀 \u202eאב"]
)
def test_every_answer_is_what_is_documented(
    description: str | None, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create("Tea", description=description)
    path = f"/api/{alice}/tasks"
    for answer in (
        client.post(path, json={"title": "Tea", "description": description}),
        client.get(f"{path}/{task['id']}"),
        client.put(f"{path}/{task['id']}", json={"title": "Tea"}),
        client.put(f"{path}/{task['id']}", json={}),
        client.patch(f"{path}/{task['id']}/complete"),
    ):
        assert documented(answer, TaskResponse)["description"] == description
    for query in ("", "?limit=1"):
        listed = documented(client.get(path + query), TaskListResponse)
        assert list(listed["tasks"][0]) == list(TaskResponse.model_fields)
        assert listed["tasks"][0]["description"] == description
