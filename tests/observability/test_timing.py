"""A slow request is logged with the time that each part of it took."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import httpx
import pytest
from fastapi import BackgroundTasks
from sqlalchemy.engine import URL

from main import create_app
from observability.timing import MAX_LINES
from tests.support.services import (
    NO_TLS,
    backends_that_wait,
    database_of_its_own,
    eventually,
    locked_tasks,
    recorded_log,
    service,
)
from tests.support.serving import make_settings, serving
from tests.support.tcp_proxy import proxy

TASKS = "/api/alice/tasks"
SLOW = re.compile(
    r"\[WARNING\] \[(?P<user>[^]]+)\] \[(?P<endpoint>[^]]+)\]"
    r" \[slow: (?P<status>\d+) in (?P<total>[\d.]+) ms \(slot (?P<slot>[\d.]+), connection"
    r" (?P<connection>[\d.]+), database (?P<database>[\d.]+), rest (?P<rest>[\d.]+)\)"
    r" request_id=[0-9a-f]{32}\]\n"
)

pytestmark = pytest.mark.slow
PARTS = ("slot", "connection", "database", "rest")


@contextmanager
def recorded(requests: int = 1) -> Iterator[list[re.Match[str]]]:
    """Collect the slow requests logged in the context, and wait until there are `requests`."""
    found: list[re.Match[str]] = []
    with recorded_log() as log:
        yield found
        eventually(lambda: len(list(SLOW.finditer(log.getvalue()))) >= requests)
    found += SLOW.finditer(log.getvalue())


def get(client: httpx.Client) -> threading.Thread:
    """Request the list in a thread."""
    thread = threading.Thread(target=client.get, args=(TASKS,))
    thread.start()
    return thread


def check_sum(match: re.Match[str]) -> None:
    assert abs(float(match["total"]) - sum(float(match[part]) for part in PARTS)) < 0.5


def test_the_time_in_the_database_and_the_wait_for_a_slot_are_logged(postgres: URL) -> None:
    """There is one connection. The first request waits for a lock, and the second for the first."""
    with (
        database_of_its_own(postgres) as url,
        service(url, slow_request_ms=100, db_pool_size=1) as client,
    ):
        assert client.get(TASKS).status_code == 200
        with recorded(2) as slow, locked_tasks(url) as release:
            first = get(client)
            eventually(lambda: backends_that_wait(url))
            second = get(client)
            threading.Event().wait(0.4)
            release()
            first.join(10)
            second.join(10)
    by_slot = sorted(slow, key=lambda match: float(match["slot"]))
    assert len(by_slot) == 2
    for match in by_slot:
        assert match.group("user", "endpoint", "status") == ("alice", f"GET {TASKS}", "200")
        check_sum(match)
    locked, behind = by_slot
    assert float(locked["database"]) > 300 > 100 > float(locked["slot"])
    assert float(behind["slot"]) > 300 > 100 > float(behind["database"])


def test_the_time_to_connect_is_logged(postgres: URL) -> None:
    with database_of_its_own(postgres) as url, proxy(url) as way:
        way.open()
        way.hold()
        with service(way.url, slow_request_ms=100) as client, recorded() as slow:
            threading.Timer(0.4, way.open).start()
            assert client.get(TASKS).status_code == 200
    [match] = slow
    check_sum(match)
    assert float(match["connection"]) > 300 > 100 > float(match["slot"])


def test_a_request_that_never_got_a_slot_has_its_time_under_slot(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, slow_request_ms=1000, db_pool_size=1) as client,
        recorded(2) as slow,
        locked_tasks(url) as release,
    ):
        first = get(client)
        eventually(lambda: backends_that_wait(url))
        assert client.get(TASKS).status_code == 503
        release()
        first.join(10)
    [refused] = [match for match in slow if match["status"] == "503"]
    check_sum(refused)
    assert float(refused["slot"]) > 1900


def test_the_time_of_a_request_ends_before_its_background_tasks(postgres: URL) -> None:
    began: list[float] = []

    async def work() -> None:
        began.append(perf_counter())
        await asyncio.sleep(0.5)

    def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(work)

    app = create_app(make_settings(postgres, slow_request_ms=1, access_log=True))
    app.add_api_route("/later", later)
    with serving(app) as base_url, recorded_log() as log:
        before = perf_counter()
        assert httpx.get(f"{base_url}/later", verify=NO_TLS).status_code == 200
        eventually(lambda: "[GET /later] [200 in " in log.getvalue())
    [milliseconds] = re.findall(r"\[200 in ([\d.]+) ms", log.getvalue())
    assert float(milliseconds) / 1000 < began[0] - before


def test_only_some_of_many_slow_requests_are_logged_and_the_rest_are_counted(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, slow_request_ms=100) as client,
        recorded_log() as log,
        locked_tasks(url) as release,
    ):
        waiting = [get(client) for _ in range(MAX_LINES + 7)]
        threading.Event().wait(0.5)
        release()
        for each in waiting:
            each.join(10)
        eventually(lambda: "[slow: 7 more requests within a second]" in log.getvalue())
        assert client.get(TASKS).status_code == 200
    assert len(SLOW.findall(log.getvalue())) == MAX_LINES


def test_no_request_is_logged_if_it_is_fast_or_the_setting_is_0(postgres: URL) -> None:
    for milliseconds in (500, 0):
        with (
            database_of_its_own(postgres) as url,
            service(url, slow_request_ms=milliseconds) as client,
        ):
            assert client.get(TASKS).status_code == 200
            with recorded_log() as log, locked_tasks(url) as release:
                waiting = get(client) if not milliseconds else None
                threading.Event().wait(0.6)
                release()
                if waiting:
                    waiting.join(10)
                assert client.get(TASKS).status_code == 200
            assert log.getvalue() == ""


def test_a_request_that_needs_no_slot_has_its_time_under_rest(postgres: URL) -> None:
    """The health check waits 1.5 seconds for a database that does not respond."""
    with database_of_its_own(postgres) as url, proxy(url) as way:
        way.open()
        way.hold()
        with service(way.url, slow_request_ms=1000) as client, recorded() as slow:
            assert client.get("/health").status_code == 503
    [match] = slow
    assert match.group("user", "endpoint", "status") == ("-", "GET /health", "503")
    assert match.group("slot", "connection", "database") == ("0.0", "0.0", "0.0")
    assert float(match["rest"]) > 1000
