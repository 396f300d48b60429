"""The responses while the database is unavailable, slow or busy, and the recovery afterwards."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from postgres import driver
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    OVERLOADED,
    backends_that_wait,
    database_of_its_own,
    eventually,
    locked_tasks,
    recorded_log,
    service,
    service_and_app,
    sql,
    until_waiting,
)
from tests.support.serving import ORIGIN, bearer
from tests.support.tcp_proxy import proxy

TASKS = "/api/alice/tasks"


def assert_told(response: httpx.Response, body: dict[str, str]) -> None:
    assert (response.status_code, response.json()) == (503, body)
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.slow
def test_a_service_starts_without_its_database_and_serves_once_it_is_up(postgres: URL) -> None:
    with (
        database_of_its_own(postgres, tables=False) as url,
        proxy(url) as way,
        service(way.url, environment="development") as client,
    ):
        assert_told(client.get(TASKS), DATABASE_UNAVAILABLE)
        assert_told(client.post(TASKS, json={"title": "Milk"}), DATABASE_UNAVAILABLE)
        assert client.get("/health").status_code == 503
        way.open()
        eventually(lambda: client.post(TASKS, json={"title": "Milk"}).status_code == 201, 20)
        assert client.get("/health").status_code == 200
        assert client.get(TASKS).json()["count"] == 1


def test_requests_fail_while_the_database_is_gone_and_then_succeed(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        database_of_its_own(postgres) as url,
        proxy(url) as way,
        service(way.url, db_pool_size=1) as client,  # so none is being opened when the proxy closes
    ):
        way.open()
        assert client.post(TASKS, json={"title": "Milk"}).status_code == 201
        way.close()
        with monkeypatch.context() as patched:
            patched.setattr(driver, "STATEMENT_TIMEOUT", 0.1)
            for _ in range(8):
                assert_told(client.get(TASKS), DATABASE_UNAVAILABLE)
        way.open()
        for _ in range(8):
            assert client.get(TASKS).json()["count"] == 1


def test_a_statement_that_times_out_is_a_503_and_is_cancelled_in_the_server(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver.STATEMENT_TIMEOUT == 5
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)
    with database_of_its_own(postgres) as url, service(url) as client:
        with locked_tasks(url):
            assert_told(client.get(TASKS), DATABASE_UNAVAILABLE)
            assert_told(client.post(TASKS, json={"title": "Milk"}), DATABASE_UNAVAILABLE)
            eventually(lambda: not backends_that_wait(url))
        monkeypatch.undo()
        assert client.get(TASKS).json()["count"] == 0


def test_a_request_is_refused_at_once_when_the_queue_is_full(postgres: URL) -> None:
    """With one connection and one place in the queue, the third request is one too many."""
    with (
        database_of_its_own(postgres) as url,
        service_and_app(url, db_pool_size=1, max_waiting=1) as (client, app),
        ThreadPoolExecutor(2) as threads,
        locked_tasks(url) as release,
    ):
        served = [threads.submit(client.get, TASKS)]
        eventually(lambda: backends_that_wait(url))
        served.append(threads.submit(client.get, TASKS))
        until_waiting(app, 1)
        assert_told(client.get(TASKS), OVERLOADED)
        release()
        assert [each.result().status_code for each in served] == [200, 200]


@pytest.mark.slow
def test_a_whole_list_whose_later_page_fails_is_cut_off(postgres: URL) -> None:
    """The client must notice that the list is incomplete."""
    fill = (
        "INSERT INTO tasks (user_id, title, description)"
        " SELECT 'alice', 'Milk', repeat('x', 1000) FROM generate_series(1, 10000)"
    )
    with database_of_its_own(postgres) as url, proxy(url) as way, service(way.url) as client:
        sql(url, fill)
        way.open()
        with client.stream("GET", TASKS) as response:
            assert response.status_code == 200
            way.close()  # until now the service has read no more than the kernel's buffers hold
            with pytest.raises(httpx.RemoteProtocolError):
                response.read()
        way.open()
        assert client.get(TASKS).json()["count"] == 10_000


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


@pytest.mark.slow
def test_requests_wait_for_a_busy_database_no_longer_than_documented(postgres: URL) -> None:
    """One request holds the only connection, one waits for it, and a third is refused."""
    with (
        database_of_its_own(postgres) as url,
        service_and_app(url, db_pool_size=1, max_waiting=1) as (client, app),
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):

        def ask() -> Future[tuple[httpx.Response, float]]:
            return threads.submit(timed, lambda: client.get(TASKS))

        hanging = ask()
        eventually(lambda: backends_that_wait(url))
        waiting = ask()
        until_waiting(app, 1)
        refused, seconds = ask().result()
        assert_told(refused, OVERLOADED)
        assert seconds < 1.8  # and not the 2 seconds of the next one
        gave_up, seconds = waiting.result()
        assert_told(gave_up, DATABASE_UNAVAILABLE)
        assert 1.8 < seconds < 3.8
        timed_out, seconds = hanging.result()
        assert_told(timed_out, DATABASE_UNAVAILABLE)
        assert 4.5 < seconds < 7.5
        release()
        assert client.get(TASKS).status_code == 200


@pytest.mark.slow
def test_a_slow_connection_attempt_leaves_the_statement_less_time(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        proxy(url) as way,
        service(way.url) as client,
        ThreadPoolExecutor(1) as threads,
        locked_tasks(url),
    ):
        way.open()
        way.hold()
        asked = threads.submit(timed, lambda: client.get(TASKS))
        time.sleep(3)
        way.open()
        answer, seconds = asked.result()
    assert_told(answer, DATABASE_UNAVAILABLE)
    assert 4.5 < seconds < 7.5  # 3 + 5, if the statement had its full time


@pytest.mark.slow
def test_a_request_that_cannot_be_served_in_time_is_refused_at_once(postgres: URL) -> None:
    """After a second without a free connection, one request may wait for each connection."""
    with (
        database_of_its_own(postgres) as url,
        service_and_app(url, db_pool_size=2) as (client, app),
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):
        hanging = [threads.submit(client.get, TASKS) for _ in range(2)]
        eventually(lambda: len(backends_that_wait(url)) == 2)
        waiting = [threads.submit(client.get, TASKS) for _ in range(2)]
        until_waiting(app, 2)
        time.sleep(1.2)
        refused, seconds = timed(lambda: client.get(TASKS))
        assert_told(refused, OVERLOADED)
        assert seconds < 0.5
        release()
        assert {request.result().status_code for request in hanging + waiting} == {200}
        assert client.get(TASKS).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trusted", "headers", "paused"),
    [
        ("", {}, True),
        ("", {"X-Forwarded-For": "192.0.2.1"}, True),
        ("192.0.2.9", {"X-Forwarded-For": "192.0.2.1"}, True),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, False),
    ],
)
def test_reading_pauses_after_overloaded_except_from_a_trusted_proxy(
    postgres: URL, trusted: str, headers: dict[str, str], paused: bool
) -> None:
    with (
        database_of_its_own(postgres) as url,
        service_and_app(url, db_pool_size=1, max_waiting=1, forwarded_allow_ips=trusted) as (
            client,
            app,
        ),
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):
        asked = [threads.submit(client.get, TASKS)]
        eventually(lambda: backends_that_wait(url))
        asked.append(threads.submit(client.get, TASKS))
        until_waiting(app, 1)
        with closing(HTTPConnection(client.base_url.host, client.base_url.port)) as connection:
            connection.request("GET", TASKS, headers=bearer("alice") | headers)
            refused = connection.getresponse()
            assert (refused.status, json.loads(refused.read())) == (503, OVERLOADED)
            start = time.perf_counter()
            connection.request("GET", "/health/live")
            assert connection.getresponse().status == 200
            assert (time.perf_counter() - start > 0.6) == paused
        release()
        assert {each.result().status_code for each in asked} <= {200, 503}


def test_a_request_that_waits_is_served_when_its_turn_comes(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service_and_app(url, db_pool_size=1, max_waiting=20) as (client, app),
        ThreadPoolExecutor(20) as threads,
        locked_tasks(url) as release,
    ):
        requests = [threads.submit(client.get, TASKS) for _ in range(20)]
        eventually(lambda: backends_that_wait(url))
        until_waiting(app, 19)
        release()
        assert [request.result().status_code for request in requests] == [200] * 20


def test_a_waiting_request_whose_client_left_is_not_executed(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, db_pool_size=1) as client,
        recorded_log() as log,
        ThreadPoolExecutor(1) as threads,
    ):
        with locked_tasks(url) as release:
            first = threads.submit(client.get, TASKS)
            eventually(lambda: backends_that_wait(url))
            with pytest.raises(httpx.ReadTimeout):
                client.post(TASKS, json={"title": "Milk"}, timeout=0.3)
            release()
            assert first.result().status_code == 200
        eventually(lambda: "[the client went away request_id=" in log.getvalue())
        assert sql(url, "SELECT count(*) FROM tasks") == [(0,)]


def kill_backends_that_wait(url: URL) -> None:
    for pid in eventually(lambda: backends_that_wait(url)):
        sql(url, "SELECT pg_terminate_backend(%s, 2000)", pid)


READ: tuple[str, str, dict[str, Any]] = ("GET", TASKS, {})
WRITE: tuple[str, str, dict[str, Any]] = ("POST", TASKS, {"json": {"title": "Milk"}})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "kills", "status"), [(READ, 1, 200), (READ, 2, 503), (WRITE, 1, 503)]
)
def test_after_a_lost_connection_a_read_is_sent_again_and_a_write_is_not(
    postgres: URL, request_: tuple[str, str, dict[str, Any]], kills: int, status: int
) -> None:
    method, path, body = request_
    with (
        database_of_its_own(postgres) as url,
        service(url) as client,
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):
        request = threads.submit(client.request, method, path, **body)
        for _ in range(kills):
            kill_backends_that_wait(url)
        time.sleep(0.1)
        release()
        response = request.result()
        assert response.status_code == status
        assert status == 200 or response.json() == DATABASE_UNAVAILABLE
        assert client.get(TASKS).json()["count"] == 0


@pytest.mark.slow
def test_killed_connections_are_replaced_without_an_error(
    postgres: URL,
) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with (
        database_of_its_own(postgres) as url,
        service(url) as client,
        ThreadPoolExecutor(16) as threads,
    ):

        def write(number: int) -> int:
            return client.post(TASKS, json={"title": str(number)}).status_code

        for _ in range(3):
            assert set(threads.map(write, range(32))) == {201}
            assert sql(url, kill)
            time.sleep(0.2)
        assert set(threads.map(write, range(32))) == {201}
        assert client.get(TASKS).json()["count"] == 4 * 32
