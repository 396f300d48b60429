"""When a connection is lost, a read is sent once more, and a write is not."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy.engine import URL

import database
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    backends_that_wait,
    database_of_its_own,
    eventually,
    locked_tasks,
    service,
    sql,
)
from tests.support.tcp_proxy import Proxy, proxy

TASKS = "/api/alice/tasks"


class Scene(NamedTuple):
    """A service, its database, and the proxy between them."""

    client: httpx.Client
    url: URL
    way: Proxy

    def create(self) -> dict[str, Any]:
        response = self.client.post(TASKS, json={"title": "Buy milk"})
        assert response.status_code == 201
        task: dict[str, Any] = response.json()
        return task

    def tasks(self) -> list[tuple[Any, ...]]:
        """Return every row of the table, including the time of its last change."""
        return sql(self.url, "SELECT * FROM tasks ORDER BY id")


@pytest.fixture(scope="module")
def scene(postgres: URL) -> Iterator[Scene]:
    with database_of_its_own(postgres) as url, proxy(url) as way, service(way.url) as client:
        way.open()
        yield Scene(client, url, way)


def lose_response(scene: Scene, method: str, path: str, **others: Any) -> None:
    """Send a write whose statement succeeds, and cut its connection before its result arrives.

    The client must be told that the outcome is unknown, and nothing may change after the first
    execution.
    """
    before = scene.tasks()
    with ThreadPoolExecutor(1) as threads:
        with locked_tasks(scene.url) as release:
            request = threads.submit(scene.client.request, method, path, **others)
            eventually(lambda: backends_that_wait(scene.url))
            scene.way.hold()
            release()
        eventually(lambda: scene.tasks() != before)
        after = scene.tasks()
        scene.way.cut()
        response = request.result()
    assert scene.tasks() == after
    assert (response.status_code, response.json()) == (503, DATABASE_UNAVAILABLE)
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"title": "Buy milk"}),
        ("PUT", "/{id}", {"title": "Buy oat milk"}),
        ("PATCH", "/{id}/complete", None),
        ("DELETE", "/{id}", None),
    ],
)
def test_a_write_whose_response_is_lost_is_not_sent_again(
    scene: Scene, method: str, path: str, body: Any
) -> None:
    """A second toggle would undo the first, and the client would be told that it succeeded."""
    lose_response(scene, method, TASKS + path.format(**scene.create()), json=body)


def test_a_conditional_write_whose_response_is_lost_is_not_sent_again(scene: Scene) -> None:
    """The second attempt would fail, and the client would be told that nothing was done."""
    task = scene.create()
    condition = {"If-Match": f'"{task["updated_at"]}"'}
    lose_response(scene, "PATCH", f"{TASKS}/{task['id']}/complete", headers=condition)
    assert scene.client.get(f"{TASKS}/{task['id']}").json()["completed"] is True


def test_a_read_whose_response_is_lost_is_sent_again(scene: Scene) -> None:
    task = scene.create()
    with ThreadPoolExecutor(1) as threads:
        with locked_tasks(scene.url) as release:
            request = threads.submit(scene.client.get, f"{TASKS}/{task['id']}")
            eventually(lambda: backends_that_wait(scene.url))
            scene.way.cut()
            release()
        response = request.result()
    assert (response.status_code, response.json()) == (200, task)


def test_a_read_whose_response_is_lost_twice_is_a_503(scene: Scene) -> None:
    with ThreadPoolExecutor(1) as threads, locked_tasks(scene.url) as release:
        request = threads.submit(scene.client.get, TASKS)
        for _ in range(2):
            [pid] = eventually(lambda: backends_that_wait(scene.url))
            sql(scene.url, "SELECT pg_terminate_backend(%s, 2000)", pid)
        response = request.result()
        release()
    assert (response.status_code, response.json()) == (503, DATABASE_UNAVAILABLE)


def test_a_write_that_may_not_finish_in_time_is_not_sent(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting took so long that the statement might finish only after the 503 was sent."""
    assert database.STATEMENT_START_DEADLINE == 4
    monkeypatch.setattr(database, "STATEMENT_START_DEADLINE", 0.2)
    with (
        database_of_its_own(postgres) as url,
        proxy(url) as way,
        service(way.url) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        way.open()
        way.hold()
        request = threads.submit(client.post, TASKS, json={"title": "Buy milk"})
        time.sleep(0.4)
        way.open()
        response = request.result()
        assert (response.status_code, response.json()) == (503, DATABASE_UNAVAILABLE)
        assert client.get(TASKS).json()["count"] == 0


def test_after_a_failover_no_connection_to_the_old_primary_is_kept(postgres: URL) -> None:
    """The pool's connections lead to a server that is now read-only; new connections do not."""
    with database_of_its_own(postgres) as url, ExitStack() as stack:
        read_only = f"ALTER DATABASE {url.database} SET default_transaction_read_only ="
        sql(postgres, f"{read_only} on")
        client = stack.enter_context(service(url, db_pool_size=3))
        threads = stack.enter_context(ThreadPoolExecutor(3))

        def send_three(method: str, meanwhile: Callable[[], object]) -> list[int]:
            """Send three requests at once, each on its own connection; return the statuses."""
            with locked_tasks(url) as release:
                send = partial(client.request, method, TASKS, json={"title": "Buy milk"})
                requests = [threads.submit(send) for _ in range(3)]
                eventually(lambda: len(backends_that_wait(url)) == 3)
                meanwhile()
                release()
            return [request.result().status_code for request in requests]

        assert send_three("GET", lambda: sql(postgres, f"{read_only} off")) == [200] * 3
        refused = client.post(TASKS, json={"title": "Buy milk"})
        assert (refused.status_code, refused.json()) == (503, DATABASE_UNAVAILABLE)
        assert send_three("POST", lambda: None) == [201] * 3
