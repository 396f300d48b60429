"""Requests wait for a suspended database while it refuses, resets or holds connections."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from sqlalchemy.engine import URL

import database
from postgres import driver
from routing import admission
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    database_of_its_own,
    eventually,
    service,
    sql,
)
from tests.support.tcp_proxy import STARTING_UP, WRONG_PASSWORD, Proxy, proxy

TASKS = "/api/alice/tasks"
Timed = tuple[httpx.Response, float]

SUSPENSIONS: dict[str, Callable[[Proxy], None]] = {
    "refuses": Proxy.close,
    "resets": Proxy.reset,
    "starts": partial(Proxy.fail, error=STARTING_UP),
}


class Crowd:
    """Concurrent requests, many more than there are slots."""

    def __init__(self, client: httpx.Client, threads: ThreadPoolExecutor) -> None:
        self.client = client
        self._threads = threads

    def send(self, method: str, count: int) -> list[Future[Timed]]:
        return [self._threads.submit(self._timed, method) for _ in range(count)]

    def _timed(self, method: str) -> Timed:
        start = time.perf_counter()
        body = {"title": "Milk"} if method == "POST" else None
        response = self.client.request(
            method, f"{TASKS}?limit=1" if body is None else TASKS, json=body
        )
        return response, time.perf_counter() - start


def statuses(requests: list[Future[Timed]]) -> set[int]:
    return {request.result()[0].status_code for request in requests}


@pytest.fixture(scope="module")
def way(postgres: URL) -> Iterator[Proxy]:
    with database_of_its_own(postgres) as url, proxy(url) as way:
        yield way


@pytest.fixture(scope="module")
def crowd(way: Proxy) -> Iterator[Crowd]:
    with service(way.url, db_pool_size=2) as client, ThreadPoolExecutor(20) as threads:
        yield Crowd(client, threads)


@pytest.mark.parametrize("suspend", SUSPENSIONS.values(), ids=SUSPENSIONS.keys())
def test_requests_wait_for_a_database_that_wakes_up(
    postgres: URL, way: Proxy, crowd: Crowd, suspend: Callable[[Proxy], None]
) -> None:
    url = postgres.set(database=way.url.database)
    sql(url, "DELETE FROM tasks")
    suspend(way)
    before = way.attempts
    requests = crowd.send("GET", 8), crowd.send("POST", 8)
    time.sleep(0.5)
    attempts = way.attempts - before
    assert not any(request.done() for request in [*requests[0], *requests[1]])
    way.open()
    assert [statuses(each) for each in requests] == [{200}, {201}]
    assert sql(url, "SELECT count(*) FROM tasks") == [(8,)]
    assert attempts <= 6


def test_a_connection_attempt_that_hangs_does_not_delay_others(way: Proxy, crowd: Crowd) -> None:
    way.open()
    way.cut()
    way.hold()
    requests = crowd.send("POST", 3)
    time.sleep(0.3)
    way.strand()
    start = time.perf_counter()
    assert statuses(requests) == {201}
    assert time.perf_counter() - start < 3  # and not the 4 seconds of a hanging attempt


def test_requests_wait_no_longer_than_the_documented_limits(
    way: Proxy, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (database.STATEMENT_START_DEADLINE, driver.STATEMENT_TIMEOUT) == (4, 5)
    assert admission.MAX_WAIT_TO_WAKE == (4, 5)
    monkeypatch.setattr(database, "STATEMENT_START_DEADLINE", 0.8)
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 2.5)
    monkeypatch.setattr(admission, "MAX_WAIT", 0.1)
    monkeypatch.setattr(admission, "MAX_WAIT_TO_WAKE", (0.8, 2.5))
    way.close()
    for method, seconds in ("POST", 0.8), ("GET", 2.5):
        for request in crowd.send(method, 6):
            response, took = request.result()
            assert (response.status_code, response.json()) == (503, DATABASE_UNAVAILABLE)
            assert seconds - 0.05 < took < seconds + 1.5
    way.open()
    assert statuses(crowd.send("GET", 1)) == {200}


def test_a_wrong_password_is_an_immediate_503_for_every_request(way: Proxy, crowd: Crowd) -> None:
    way.fail(WRONG_PASSWORD)
    start = time.perf_counter()
    assert statuses(crowd.send("POST", 10) + crowd.send("GET", 10)) == {503}
    assert time.perf_counter() - start < 3  # and not the 4 seconds that a request may wait
    way.open()
    eventually(lambda: statuses(crowd.send("GET", 1)) == {200}, 1)


def test_a_missing_database_is_an_immediate_503(postgres: URL) -> None:
    with service(postgres.set(database="absent")) as client:
        start = time.perf_counter()
        assert client.post(TASKS, json={"title": "Milk"}).status_code == 503
        assert client.get(TASKS).status_code == 503
        assert time.perf_counter() - start < 3  # and not the 4 seconds that a request may wait


def test_connections_are_open_before_the_first_request(postgres: URL) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    with database_of_its_own(postgres) as url, service(url, db_pool_size=3):
        eventually(
            lambda: sql(url, count, url.database) == [(4,)]
        )  # the pool's three and the health check's
