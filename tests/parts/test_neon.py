"""The service in production on Postgres as Neon offers it: TLS, SCRAM, and a pooler."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from postgres import driver, tls_files
from postgres.connect_error import ConnectError
from postgres.dialect import libpq_parameters
from postgres.url import postgres_url
from tests.parts.neon import POOL, Neon
from tests.support.processes import Service, run, started, until
from tests.support.services import NO_TLS, sql
from tests.support.serving import SECRET, bearer

pytestmark = pytest.mark.parts

AT_ONCE = 300

NOWHERE = "postgresql://owner@127.0.0.1:1/nothing?sslmode=require"


@pytest.fixture(scope="module", autouse=True)
def migrated(neon: Neon) -> None:
    """Migrate with the direct string. DATABASE_URL is unreachable, so only that string is used."""
    done = run(
        *("-m", "alembic", "upgrade", "head"),
        environment="production",
        database_url=NOWHERE,
        migration_database_url=f"{neon.direct}?sslmode=require&channel_binding=require",
        better_auth_secret=SECRET,
    )
    assert done.returncode == 0, done.stderr


def strings(neon: Neon) -> dict[str, str]:
    """Return the connection strings that must work, by name."""
    verified = f"sslmode=verify-full&sslrootcert={neon.authority}"
    return {
        "pooled": f"{neon.pooled}?sslmode=require",
        "pooled, verified": f"{neon.pooled}?{verified}",
        "direct": f"{neon.direct}?sslmode=require&channel_binding=require",
        "direct, verified": f"{neon.direct}?{verified}&channel_binding=require",
    }


def test_sslrootcert_system_means_the_certificate_authorities_of_this_system(
    neon: Neon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "SYSTEM_FILES", ("/nowhere", str(neon.authority)))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    url = postgres_url(f"{neon.direct}?sslrootcert=system")

    async def work() -> None:
        connection = await driver.connect(**libpq_parameters(url))
        assert connection.info.ssl_in_use
        connection.close()
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1"):  # the certificate is for localhost
            await driver.connect(**libpq_parameters(url.set(host="127.0.0.1")))

    asyncio.run(work())


@contextmanager
def serving(url: str, data: Path) -> Iterator[Service]:
    with started(data, environment="production", database_url=url) as service:
        yield service.starts()


@pytest.fixture(params=["pooled", "pooled, verified", "direct", "direct, verified"])
def service(request: pytest.FixtureRequest, neon: Neon, tmp_path: Path) -> Iterator[Service]:
    with serving(strings(neon)[request.param], tmp_path) as service:
        yield service


class Callers:
    """300 users. Each has a client, because one pool for so many connections is slow."""

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
        """Send a request of every user at once, and return the bodies of the responses."""
        responses = await asyncio.gather(
            *(
                client.request(method, f"/api/caller_{number}/tasks{path}", **body)
                for number, (client, path) in enumerate(
                    zip(self._clients, paths or [""] * AT_ONCE, strict=True)
                )
            )
        )
        status = {"POST": 201, "DELETE": 204}.get(method, 200)
        failed = [response.text for response in responses if response.status_code != status]
        assert failed == []
        return [response.json() if response.content else None for response in responses]


def at_once(service: Service, scenario: Callable[[Callers], Awaitable[None]]) -> None:
    async def run() -> None:
        callers = Callers(service)
        try:
            await scenario(callers)
        finally:
            await callers.close()

    asyncio.run(run())


def test_every_operation_succeeds_for_300_users_at_once(service: Service) -> None:
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


def test_health_reports_the_database_as_connected(service: Service) -> None:
    with service.client() as client:
        response = client.get("/health")
        assert (response.status_code, response.json()["database"]) == (200, "connected")


def test_the_pooler_serves_several_processes_with_few_connections(
    neon: Neon, tmp_path: Path
) -> None:
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
        # The certificate is for localhost, so verification fails for this host.
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={authority}"),
        # Neon's proxy offers channel binding; PgBouncer, up to version 1.18 at least, does not.
        ("localhost", "sslmode=require&channel_binding=require"),
        ("localhost", "sslmode=disable"),
    ],
)
def test_the_service_does_not_connect_if_required_tls_features_are_missing(
    neon: Neon, tmp_path: Path, host: str, parameters: str
) -> None:
    url = f"{neon.pooled}?{parameters.format(authority=neon.authority)}"
    with serving(url.replace("localhost", host), tmp_path) as service, service.client() as client:
        assert client.get("/health").status_code == 503
        assert client.get("/health/live").status_code == 200
        refused = client.get("/api/alice/tasks")
        assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")


def test_the_next_request_wakes_a_suspended_database(neon: Neon, tmp_path: Path) -> None:
    """Neon closes connections when it suspends the database, and accepts new ones as it wakes."""
    with serving(strings(neon)["direct"], tmp_path) as service, service.client() as client:
        assert client.get("/api/alice/tasks").status_code == 200
        ended = sql(
            neon.superuser,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'neondb_owner'",
        )
        assert ended
        until(lambda: client.post("/api/alice/tasks", json={"title": "Up"}).status_code == 201, "")
        assert client.get("/api/alice/tasks").json()["count"] == 1


def test_a_process_opens_its_pool_and_one_connection_for_the_health_check(
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
