"""The health endpoints are correct and respond in time, whatever the database does."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from database import Database
from postgres import driver
from postgres.async_connection import Row
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

HEALTHY = {"status": "healthy", "database": "connected"}
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
UNHEALTHY = {"status": "unhealthy", "database": "disconnected", **DATABASE_UNAVAILABLE}


def assert_health(client: httpx.Client, status: int) -> None:
    """Assert that GET and HEAD /health respond with `status` within 2 seconds."""
    for method in ("GET", "HEAD"):
        start = time.perf_counter()
        response = client.request(method, "/health")
        assert time.perf_counter() - start < 2
        assert response.status_code == status
        assert response.headers["cache-control"] == "no-store"
        assert ("retry-after" in response.headers) == (status == 503)
        if method == "HEAD":
            assert response.content == b""
        else:
            body = response.json()
            assert_now(body.pop("timestamp"))
            assert body == (HEALTHY if status == 200 else UNHEALTHY)


def assert_now(timestamp: str) -> None:
    assert timestamp.endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(timestamp)
    assert timedelta(seconds=-1) < age < timedelta(seconds=5)


def assert_live(client: httpx.Client) -> None:
    start = time.perf_counter()
    for method in ("GET", "HEAD"):
        response = client.request(method, "/health/live")
        assert response.status_code == 200
        assert response.content == (b"" if method == "HEAD" else b'{"status":"alive"}')
    assert time.perf_counter() - start < 1


def test_health_needs_no_token(anonymous: httpx.Client) -> None:
    assert_health(anonymous, 200)
    assert_live(anonymous)


def refuse(way: Proxy, postgres: URL) -> None:
    sql(postgres, f"ALTER DATABASE {way.url.database} ALLOW_CONNECTIONS false")
    kill(way, postgres)


def admit(way: Proxy, postgres: URL) -> None:
    sql(postgres, f"ALTER DATABASE {way.url.database} ALLOW_CONNECTIONS true")


def kill(way: Proxy, postgres: URL) -> None:
    sql(
        postgres,
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname = %s",
        way.url.database,
    )


def close(way: Proxy, _: URL) -> None:
    way.close()


def hold(way: Proxy, _: URL) -> None:
    way.hold()


def reopen(way: Proxy, _: URL) -> None:
    way.open()


Act = Callable[[Proxy, URL], None]


@contextmanager
def watched(postgres: URL) -> Iterator[tuple[httpx.Client, Proxy]]:
    """A service behind a proxy that can cut it off from its database."""
    with database_of_its_own(postgres) as url, proxy(url) as way, service(way.url) as client:
        yield client, way


@pytest.mark.parametrize(
    ("end", "mend"),
    [(close, reopen), (hold, reopen), (refuse, admit)],
    ids=["gone", "hanging", "refusing"],
)
def test_health_reports_each_change_of_the_database(postgres: URL, end: Act, mend: Act) -> None:
    with watched(postgres) as (client, way):
        assert_health(client, 503)
        way.open()
        assert_health(client, 200)
        end(way, postgres)
        assert_health(client, 503)
        assert_live(client)
        mend(way, postgres)
        assert_health(client, 200)


def test_health_stays_200_when_its_connection_is_killed(postgres: URL) -> None:
    with watched(postgres) as (client, way):
        way.open()
        for _ in range(3):
            assert_health(client, 200)
            kill(way, postgres)
            time.sleep(0.05)


def test_after_a_time_limit_of_the_role_connections_have_its_new_settings(postgres: URL) -> None:
    def backends(url: URL) -> set[int]:
        rows = sql(postgres, BACKENDS, url.database)
        return {pid for (pid,) in rows}

    with database_of_its_own(postgres) as url:
        sql(postgres, f"ALTER DATABASE {url.database} SET statement_timeout = 1")
        with service(url) as client:
            eventually(lambda: client.get("/health").status_code == 503)
            limited = backends(url)
            sql(postgres, f"ALTER DATABASE {url.database} RESET statement_timeout")
            eventually(lambda: client.get("/health").status_code == 200)
            eventually(lambda: not limited & backends(url))
            assert client.get("/api/alice/tasks").status_code == 200
            renewed = backends(url)
            assert client.get("/health").status_code == 200
            assert renewed <= backends(url)


@pytest.mark.slow
def test_concurrent_health_requests_share_one_check_that_hangs(postgres: URL) -> None:
    with watched(postgres) as (client, way), ThreadPoolExecutor(16) as threads:
        way.open()
        assert_health(client, 200)
        way.hold()
        start = time.perf_counter()
        checks = [threads.submit(client.get, "/health") for _ in range(16)]
        assert {check.result().status_code for check in checks} == {503}
        assert time.perf_counter() - start < 2


def test_health_does_not_wait_behind_requests(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, db_pool_size=1, max_waiting=4) as client,
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):
        requests = [threads.submit(client.get, "/api/alice/tasks") for _ in range(4)]
        eventually(lambda: backends_that_wait(url))
        start = time.perf_counter()
        assert_health(client, 200)
        assert_live(client)
        assert time.perf_counter() - start < 1
        release()
        assert {request.result().status_code for request in requests} == {200}


def test_concurrent_health_checks_share_one_query(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    fetch = driver.Connection.fetch

    async def counted(self: driver.Connection, sql: str, *others: Any) -> list[Row]:
        asked.append(sql)
        return await fetch(self, sql, *others)

    monkeypatch.setattr(driver.Connection, "fetch", counted)

    async def work() -> None:
        database = Database(postgres, 1)
        for _ in range(2):
            await asyncio.gather(*(database.condition.check() for _ in range(300)))
        await database.close()

    asyncio.run(work())
    assert len(asked) == 2
