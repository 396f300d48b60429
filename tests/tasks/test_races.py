"""Concurrent requests for the same tasks: no change is lost, and every response makes sense."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest

from routing import admission
from tests.support.serving import bearer

Task = dict[str, Any]
Create = Callable[..., Task]
Work = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def at_once(base_url: str, alice: str) -> Callable[[Iterable[Work]], list[Any]]:
    """A function that runs alice's jobs concurrently, on as many connections as they need."""

    async def run(works: Iterable[Work]) -> list[Any]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=base_url, headers=bearer(alice), limits=limits, timeout=30, verify=False
        ) as client:
            return await asyncio.gather(*(work(client) for work in works))

    return lambda works: asyncio.run(run(works))


def sending(method: str, path: str, body: Any = None) -> Work:
    """Return a job that sends one request."""
    return lambda client: client.request(method, path, json=body)


def bodies(responses: list[httpx.Response]) -> list[Task]:
    assert {response.status_code for response in responses} == {200}
    return [response.json() for response in responses]


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait longer, because 200 toggles take seconds when coverage is measured."""
    monkeypatch.setattr(admission, "MAX_WAIT", 60.0)


@pytest.mark.parametrize("toggles", [200, 51])
def test_no_concurrent_toggle_is_lost(
    toggles: int,
    client: httpx.Client,
    alice: str,
    create: Create,
    at_once: Callable[[Iterable[Work]], list[Any]],
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}"
    responses = bodies(at_once([sending("PATCH", f"{path}/complete")] * toggles))
    assert client.get(path).json()["completed"] is (toggles % 2 == 1)
    in_time = sorted(responses, key=lambda task: task["updated_at"])
    assert [task["completed"] for task in in_time] == [n % 2 == 0 for n in range(toggles)]


def test_every_concurrent_change_has_a_unique_time(
    client: httpx.Client,
    alice: str,
    create: Create,
    at_once: Callable[[Iterable[Work]], list[Any]],
) -> None:
    task = create()
    path = f"/api/{alice}/tasks/{task['id']}"
    works = [sending("PUT", path, {"title": str(number)}) for number in range(60)]
    responses = bodies(at_once([*works, *[sending("PATCH", f"{path}/complete")] * 60]))
    times = sorted(response["updated_at"] for response in responses)
    assert len(set(times)) == 120
    assert times[0] > task["updated_at"]
    assert client.get(path).json() == max(responses, key=lambda response: response["updated_at"])


def test_no_concurrent_update_of_different_fields_is_lost(
    client: httpx.Client,
    alice: str,
    create: Create,
    at_once: Callable[[Iterable[Work]], list[Any]],
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}"
    for number in range(10):
        wanted = {"title": f"t{number}", "description": f"d{number}", "completed": number % 2 == 0}
        bodies(at_once(sending("PUT", path, {name: value}) for name, value in wanted.items()))
        task = client.get(path).json()
        assert {name: task[name] for name in wanted} == wanted


def test_exactly_one_of_several_concurrent_deletes_succeeds(
    alice: str, create: Create, at_once: Callable[[Iterable[Work]], list[Any]]
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}"
    responses = at_once([sending("DELETE", path)] * 20)
    assert sorted(response.status_code for response in responses) == [204] + [404] * 19


def test_concurrent_operations_of_all_kinds_get_sensible_responses(
    client: httpx.Client,
    alice: str,
    create: Create,
    at_once: Callable[[Iterable[Work]], list[Any]],
) -> None:
    path = f"/api/{alice}/tasks"
    ids = [create()["id"] for _ in range(10)]
    works = [
        work
        for task_id in ids
        for work in (
            sending("PUT", f"{path}/{task_id}", {"title": "Changed"}),
            sending("PATCH", f"{path}/{task_id}/complete"),
            sending("GET", f"{path}/{task_id}"),
            sending("DELETE", f"{path}/{task_id}"),
            sending("PUT", f"{path}/{task_id}", {}),
            sending("PATCH", f"{path}/{task_id}/complete"),
            sending("POST", path, {"title": "Created"}),
            sending("GET", path),
        )
    ]
    responses: list[httpx.Response] = at_once(works)
    sensible = {"PUT": {200, 404}, "PATCH": {200, 404}, "DELETE": {204}, "POST": {201}}
    for response in responses:
        on_a_list = response.request.method == "GET" and response.url.path == path
        allowed = {200} if on_a_list else sensible.get(response.request.method, {200, 404})
        assert response.status_code in allowed, response.text
        if response.status_code == 404:
            assert response.json()["code"] == "TASK_NOT_FOUND"
    created = [response.json() for response in responses if response.status_code == 201]
    left = client.get(path, params={"order": "asc"}).json()["tasks"]
    assert sorted(left, key=lambda task: task["id"]) == sorted(created, key=lambda task: task["id"])


@pytest.mark.parametrize("sort", ["created", "title"])
def test_pages_contain_every_unchanged_task_while_others_are_written(
    sort: str,
    alice: str,
    create: Create,
    at_once: Callable[[Iterable[Work]], list[Any]],
) -> None:
    path = f"/api/{alice}/tasks"
    staying = {create(f"staying {number % 5}")["id"] for number in range(12)}
    done = asyncio.Event()

    async def write(client: httpx.AsyncClient) -> None:
        while not done.is_set():
            task = (await client.post(path, json={"title": "staying 2"})).json()
            await client.put(f"{path}/{task['id']}", json={"title": "staying 4"})
            await client.delete(f"{path}/{task['id']}")

    async def read(client: httpx.AsyncClient) -> list[int]:
        seen: list[int] = []
        query: dict[str, Any] = {"sort": sort, "order": "desc", "limit": 3}
        while query.get("cursor", "") is not None:
            page = (await client.get(path, params=query)).json()
            seen += [task["id"] for task in page["tasks"]]
            query["cursor"] = page["next_cursor"]
        return seen

    async def read_often(client: httpx.AsyncClient) -> list[list[int]]:
        try:
            return [await read(client) for _ in range(3)]
        finally:
            done.set()

    runs, *_ = at_once([read_often, write, write])
    for seen in runs:
        assert sorted(task_id for task_id in seen if task_id in staying) == sorted(staying)
