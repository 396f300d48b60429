"""The service in production on Postgres as Neon offers it: TLS, SCRAM, and a pooler in between."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.parts.neon import POOL, Neon
from tests.support.processes import Service, run, started, until
from tests.support.services import NO_TLS, sql
from tests.support.serving import SECRET, bearer

pytestmark = pytest.mark.parts

AT_ONCE = 300

NOWHERE = "postgresql://owner@127.0.0.1:1/nothing?sslmode=require"


@pytest.fixture(scope="module", autouse=True)
def migrated(neon: Neon) -> None:
    """The tables, made on the direct string: DATABASE_URL leads nowhere at all."""
    done = run(
        *("-m", "alembic", "upgrade", "head"),
        environment="production",
        database_url=NOWHERE,
        migration_database_url=f"{neon.direct}?sslmode=require&channel_binding=require",
        better_auth_secret=SECRET,
    )
    assert done.returncode == 0, done.stderr


def strings(neon: Neon) -> dict[str, str]:
    """The ways to the database that must work, by name."""
    verified = f"sslmode=verify-full&sslrootcert={neon.authority}"
    return {
        "pooled": f"{neon.pooled}?sslmode=require",
        "pooled, verified": f"{neon.pooled}?{verified}",
        "direct": f"{neon.direct}?sslmode=require&channel_binding=require",
        "direct, verified": f"{neon.direct}?{verified}&channel_binding=require",
    }


@contextmanager
def serving(url: str, data: Path) -> Iterator[Service]:
    with started(data, environment="production", database_url=url) as service:
        yield service.starts()


@pytest.fixture(params=["pooled", "pooled, verified", "direct", "direct, verified"])
def service(request: pytest.FixtureRequest, neon: Neon, tmp_path: Path) -> Iterator[Service]:
    with serving(strings(neon)[request.param], tmp_path) as service:
        yield service


class Callers:
    """300 users, each with a client of their own: one pool for so many connections is slow."""

    def __init__(self, service: Service) -> None:
        self._clients = [
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{service.port}",
                headers=bearer(f"caller_{number}"),
                timeout=30,
                verify=NO_TLS,
            )
            for number in range(AT_ONCE)
        ]

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def ask(self, method: str, paths: list[str] | None = None, **body: Any) -> list[Any]:
        """All of them ask at once; gives the bodies that all of them are answered."""
        answers = await asyncio.gather(
            *(
                client.request(method, f"/api/caller_{number}/tasks{path}", **body)
                for number, (client, path) in enumerate(
                    zip(self._clients, paths or [""] * AT_ONCE, strict=True)
                )
            )
        )
        status = {"POST": 201, "DELETE": 204}.get(method, 200)
        failed = [answer.text for answer in answers if answer.status_code != status]
        assert failed == []
        return [answer.json() if answer.content else None for answer in answers]


def at_once(service: Service, scenario: Callable[[Callers], Awaitable[None]]) -> None:
    async def run() -> None:
        callers = Callers(service)
        try:
            await scenario(callers)
        finally:
            await callers.close()

    asyncio.run(run())


def test_every_operation_is_answered_to_300_at_once(service: Service) -> None:
    async def scenario(callers: Callers) -> None:
        created = await callers.ask("POST", json={"title": "Buy milk"})
        assert len({task["id"] for task in created}) == AT_ONCE
        tasks = [f"/{task['id']}" for task in created]
        assert await callers.ask("GET", tasks) == created
        assert [page["tasks"] for page in await callers.ask("GET")] == [[task] for task in created]
        updated = await callers.ask("PUT", tasks, json={"title": "Buy oat milk"})
        assert {(task["title"], task["completed"]) for task in updated} == {("Buy oat milk", False)}
        toggled = await callers.ask("PATCH", [f"{task}/complete" for task in tasks])
        assert {(task["title"], task["completed"]) for task in toggled} == {("Buy oat milk", True)}
        await callers.ask("DELETE", tasks)
        assert {page["count"] for page in await callers.ask("GET")} == {0}

    at_once(service, scenario)


def test_the_database_counts_as_connected(service: Service) -> None:
    with service.client() as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["database"]) == (200, "connected")


def test_the_pooler_shares_few_connections_among_many_processes(neon: Neon, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"db_pool_size": 15, "web_concurrency": 2}
    url = strings(neon)["pooled"]
    with started(tmp_path, environment="production", database_url=url, **settings) as service:
        service.starts()

        async def scenario(callers: Callers) -> None:
            await callers.ask("GET")

        at_once(service, scenario)
        [(connections,)] = sql(
            neon.superuser,
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'neondb_owner'",
        )
        assert 1 < connections <= POOL


def test_every_connection_uses_tls(service: Service, neon: Neon) -> None:
    with service.client() as client:
        assert client.get("/api/alice/tasks").status_code == 200
    rows = sql(
        neon.superuser,
        "SELECT DISTINCT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE usename = 'neondb_owner'",
    )
    assert rows == [(True, "TLSv1.3")]


@pytest.mark.parametrize(
    ("host", "parameters"),
    [
        # The certificate is localhost's, so that this host is not to be trusted.
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={authority}"),
        # Neon's proxy offers it; this PgBouncer, as every one up to 1.18 at least, does not.
        ("localhost", "sslmode=require&channel_binding=require"),
        ("localhost", "sslmode=disable"),
    ],
)
def test_the_service_does_without_the_database_rather_than_without_what_is_required(
    neon: Neon, tmp_path: Path, host: str, parameters: str
) -> None:
    url = f"{neon.pooled}?{parameters.format(authority=neon.authority)}"
    with serving(url.replace("localhost", host), tmp_path) as service, service.client() as client:
        assert client.get("/health").status_code == 503
        assert client.get("/health/live").status_code == 200
        refused = client.get("/api/alice/tasks")
        assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")


def test_a_database_that_fell_asleep_is_woken_by_the_next_request(
    neon: Neon, tmp_path: Path
) -> None:
    """Neon ends its connections when it suspends, and takes new ones as it wakes."""
    with serving(strings(neon)["direct"], tmp_path) as service, service.client() as client:
        assert client.get("/api/alice/tasks").status_code == 200
        ended = sql(
            neon.superuser,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'neondb_owner'",
        )
        assert ended
        until(lambda: client.post("/api/alice/tasks", json={"title": "Up"}).status_code == 201, "")
        assert client.get("/api/alice/tasks").json()["count"] == 1


def test_a_process_opens_what_it_keeps_and_one_more_for_the_health_check(
    neon: Neon, tmp_path: Path
) -> None:
    def connections() -> int:
        [(count,)] = sql(
            neon.superuser,
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'neondb_owner'"
            " AND application_name = 'asleep'",
        )
        return int(count)

    url = f"{strings(neon)['direct']}&application_name=asleep"
    with serving(url, tmp_path) as service, service.client() as client:
        until(lambda: connections() == 11, "the pool to be warm and the database to be checked")
        assert client.get("/health").status_code == 200
        assert connections() == 11
