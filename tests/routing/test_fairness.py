"""A greedy user and other users of the whole service: which requests are served or refused."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.engine import URL

from main import create_app
from routing import admission
from tests.support.services import (
    NO_TLS,
    TOO_MANY_REQUESTS,
    database_of_its_own,
    eventually,
    locked_tasks,
    recorded_log,
)
from tests.support.serving import ORIGIN, bearer, make_settings, serving


class Crowd:
    """Users who send requests while every statement waits for a lock, until `release`."""

    def __init__(
        self,
        app: FastAPI,
        client: httpx.Client,
        threads: ThreadPoolExecutor,
        release: Callable[[], None],
    ) -> None:
        self.app, self.client, self.threads, self.release = app, client, threads, release
        self.sent: list[Future[tuple[str, httpx.Response]]] = []

    def send(self, user: str, count: int) -> None:
        """Send requests of `user`, each on a separate connection."""
        self.sent += [self.threads.submit(self._get, user) for _ in range(count)]

    def _get(self, user: str) -> tuple[str, httpx.Response]:
        headers = {"Origin": ORIGIN, **bearer(user)}
        return user, self.client.get(f"/api/{user}/tasks", headers=headers)

    def until_waiting(self, count: int) -> None:
        """Wait until `count` requests wait for a slot."""
        eventually(lambda: self.app.state.admission.waiting == count)

    def until_refused(self, count: int) -> None:
        """Wait until `count` requests have been refused."""
        eventually(lambda: self.app.state.admission.refusals == count)

    def responses(self) -> list[tuple[str, httpx.Response]]:
        """Release the lock, and return every response."""
        self.release()
        return [each.result() for each in self.sent]


@contextmanager
def crowd(postgres: URL, **settings: object) -> Iterator[Crowd]:
    limits = httpx.Limits(max_connections=None)
    with (
        database_of_its_own(postgres) as url,
        locked_tasks(url) as release,
        ThreadPoolExecutor(60) as threads,
    ):
        app = create_app(make_settings(url, environment="production", **settings))
        with (
            serving(app) as base_url,
            httpx.Client(base_url=base_url, timeout=20, verify=NO_TLS, limits=limits) as client,
        ):
            try:
                yield Crowd(app, client, threads, release)
            finally:
                release()


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait longer, because on a busy machine the lock may be held for seconds."""
    for seconds in ("MAX_WAIT", "MEASURED"):
        monkeypatch.setattr(admission, seconds, 60.0)


@pytest.mark.slow
def test_a_user_with_few_requests_does_not_wait_for_those_of_a_greedy_user(postgres: URL) -> None:
    """The log has a line for each request, in the order in which the requests were served."""
    with crowd(postgres, db_pool_size=1, access_log=True) as users, recorded_log() as log:
        users.send("greedy", 21)
        users.until_waiting(20)
        users.send("alice", 2)
        users.until_waiting(22)
        assert {response.status_code for _, response in users.responses()} == {200}
        eventually(lambda: log.getvalue().count("[200 in") == 23)
    served = re.findall(r"\[INFO\] \[(greedy|alice)\]", log.getvalue())
    assert served[:5] == ["greedy", "greedy", "alice", "greedy", "alice"]


@pytest.mark.slow
def test_only_the_user_who_floods_the_service_is_refused(postgres: URL) -> None:
    with crowd(postgres, db_pool_size=1, max_waiting=20) as users, recorded_log() as log:
        users.send("greedy", 21)
        users.until_waiting(20)
        users.send("alice", 1)
        users.until_refused(1)
        users.send("greedy", 10)
        users.until_refused(11)
        users.send("alice", 5)
        users.until_refused(16)
        responses = users.responses()
        eventually(lambda: "TOO_MANY_REQUESTS" in log.getvalue())
    statuses = Counter((user, response.status_code) for user, response in responses)
    assert statuses == {("alice", 200): 6, ("greedy", 200): 15, ("greedy", 429): 16}
    for _, response in responses:
        if response.status_code == 429:
            assert response.json() == TOO_MANY_REQUESTS
            assert response.headers["retry-after"] == "1"
            assert response.headers["access-control-allow-origin"] == ORIGIN
    line = r"\[WARNING\] \[greedy\] \[-\] \[429 TOO_MANY_REQUESTS, \d+ times within a second\]"
    assert re.search(line, log.getvalue())


def test_after_a_429_the_next_request_on_the_connection_is_read_at_once(postgres: URL) -> None:
    with crowd(postgres, db_pool_size=1, max_waiting=14) as users:
        users.send("greedy", 14)
        users.until_waiting(13)
        users.send("alice", 1)
        users.until_waiting(14)
        url = users.client.base_url
        with closing(HTTPConnection(url.host, url.port)) as connection:
            connection.request("GET", "/api/greedy/tasks", headers=bearer("greedy"))
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())) == (429, TOO_MANY_REQUESTS)
            assert response.headers["retry-after"] == "1"
            begin = time.perf_counter()
            connection.request("GET", "/health/live")
            assert connection.getresponse().status == 200
            assert time.perf_counter() - begin < 0.6  # after OVERLOADED the service waits a second
        assert {response.status_code for _, response in users.responses()} == {200}
