"""The number of a user's tasks, at a path where `stats` is not taken for the id of a task."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.serving import bearer

Create = Callable[..., dict[str, Any]]


def test_only_the_tasks_of_the_user_are_counted(client: httpx.Client, alice: str, bob: str) -> None:
    path = f"/api/{alice}/tasks"
    none = {"total": 0, "pending": 0, "completed": 0}
    assert client.get(f"{path}/stats").json() == none
    for completed in (True, False, False):
        client.post(path, json={"title": "Tea", "completed": completed})
    foreign = client.get(f"/api/{bob}/tasks/stats", headers=bearer(bob))
    assert foreign.json() == none
    response = client.get(f"{path}/stats")
    assert (response.status_code, response.json()) == (
        200,
        {"total": 3, "pending": 2, "completed": 1},
    )
    assert response.headers["content-type"] == "application/json"


def test_each_change_is_counted_at_once(client: httpx.Client, alice: str, create: Create) -> None:
    path = f"/api/{alice}/tasks"
    task = f"{path}/{create()['id']}"

    def numbers() -> tuple[int, ...]:
        return tuple(client.get(f"{path}/stats").json().values())

    assert numbers() == (1, 1, 0)
    client.patch(f"{task}/complete")
    assert numbers() == (1, 0, 1)
    client.delete(task)
    assert numbers() == (0, 0, 0)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "PURGE"])
def test_stats_can_only_be_read(
    method: str, slash: str, client: httpx.Client, alice: str, create: Create
) -> None:
    create()
    path = f"/api/{alice}/tasks/stats"
    response = client.request(method, path + slash, json={"title": "x"})
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"
    assert client.get(path).json()["total"] == 1


@pytest.mark.parametrize("name", ["Stats", "stats2", "STATS", "stat", "stats%20", "%2Fstats"])
def test_any_other_word_is_refused_as_an_id(name: str, client: httpx.Client, alice: str) -> None:
    response = client.get(f"/api/{alice}/tasks/{name}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "path.task_id")


@pytest.mark.parametrize("query", ["status=all", "limit=1", "stats", "%00=", "_=1&x=2"])
def test_stats_refuse_every_parameter(query: str, client: httpx.Client, alice: str) -> None:
    """Otherwise a client that tries to filter would get the unfiltered numbers."""
    response = client.get(f"/api/{alice}/tasks/stats?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")
    assert "is unknown; there are no parameters." in response.json()["detail"]


def test_stats_tolerate_the_parameters_that_a_list_tolerates(
    client: httpx.Client, alice: str
) -> None:
    path = f"/api/{alice}/tasks/stats"
    assert client.get(path, params={"_": "1767950000000", "user_id": alice}).status_code == 200
    for wrong in ({"user_id": "bob"}, {"user_id": ""}):
        assert client.get(path, params=wrong).status_code == 400
    assert client.get(f"{path}?_=1&_=2").status_code == 400


def test_a_thousand_tasks_are_counted_exactly(
    client: httpx.Client, alice: str, database: Connection
) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks (user_id, title, completed)"
            " SELECT %s, 'x', n %% 3 = 0 FROM generate_series(1, 1000) AS n",
            [alice],
        )
    numbers = client.get(f"/api/{alice}/tasks/stats").json()
    assert numbers == {"total": 1000, "pending": 667, "completed": 333}
