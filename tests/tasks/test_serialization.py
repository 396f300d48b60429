"""What is answered is what is documented."""

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel

import routes.tasks
from schemas import TaskListResponse, TaskResponse
from tasks import pagination
from tasks.serialization import Task, TaskList

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
    description: str | None,
    monkeypatch: pytest.MonkeyPatch,
    client: httpx.Client,
    alice: str,
    create: Create,
) -> None:
    task = create("Tea", description=description)
    path, key = f"/api/{alice}/tasks", secrets.token_urlsafe()
    created = {"title": "Tea", "description": description}
    for answer in (
        client.post(path, json=created),
        *(client.post(path, json=created, headers={"Idempotency-Key": key}) for _ in range(2)),
        client.get(f"{path}/{task['id']}"),
        client.put(f"{path}/{task['id']}", json={"title": "Tea"}),
        client.put(f"{path}/{task['id']}", json={}),
        client.patch(f"{path}/{task['id']}/complete"),
    ):
        assert documented(answer, TaskResponse)["description"] == description
    monkeypatch.setattr(routes.tasks, "CHUNK", 1)
    monkeypatch.setattr(pagination, "CHUNK", 1)
    for query in ("", "?limit=1"):
        listed = documented(client.get(path + query), TaskListResponse)
        for each in listed["tasks"]:
            assert list(each) == list(TaskResponse.model_fields)
            assert each["description"] == description
