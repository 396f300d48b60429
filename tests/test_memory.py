"""The memory that all processes of the service use together, in MB of 10^6 bytes."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import URL

from tests.support.processes import Service, started
from tests.support.services import database_of_its_own, sql
from tests.support.serving import bearer

pytestmark = pytest.mark.slow

CEILING = 100  # as the README promises; measured here: 86, and 94 with an issuer's keys

CONNECTIONS = 1000
ROUNDS = 5

# Two users: a hoarder with 100,000 tasks of the maximum length, and alice with a hundred tasks.
FILL = """
INSERT INTO tasks (user_id, title, description, created_at)
SELECT CASE WHEN n > 100 THEN 'hoarder' ELSE 'alice' END, 'Task ' || n,
       repeat('d', CASE WHEN n > 100 THEN 1000 ELSE 50 END), now() - n * interval '1 second'
FROM generate_series(1, 100100) AS n
"""


@pytest.fixture(scope="module")
def filled(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        sql(url, FILL)
        sql(url, "ANALYZE tasks")
        yield url


@pytest.fixture(params=["", "http://127.0.0.1:9"], ids=["secret", "issuer and secret"])
def service(request: pytest.FixtureRequest, filled: URL, tmp_path: Path) -> Iterator[Service]:
    settings = {
        "better_auth_url": request.param,
        "database_url": filled.render_as_string(hide_password=False),
        "environment": "production",
        "host": "127.0.0.1",
        "access_log": "false",
    }
    with started(tmp_path, **settings) as service:
        yield service.starts()


def megabytes(service: Service) -> float:
    process = psutil.Process(service.process.pid)
    processes = [process, *process.children(recursive=True)]
    return float(sum(each.memory_info().rss for each in processes) / 1e6)


def peak(service: Service) -> float:
    """Return the peak memory of the service's only process."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def test_a_list_takes_bounded_memory_however_long_it_is(service: Service) -> None:
    with service.client("hoarder") as client:
        assert client.get("/api/hoarder/tasks?limit=1").status_code == 200
        before = megabytes(service)
        with client.stream("GET", "/api/hoarder/tasks") as answer:
            size = sum(map(len, answer.iter_bytes()))
    assert size > 100e6
    assert peak(service) - before < 40


async def _ask(port: int, path: str) -> list[int]:
    """Send ROUNDS requests on one connection, and return the statuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
    request = head + "".join(f"{name}: {value}\r\n" for name, value in bearer("alice").items())
    statuses = []
    for _ in range(ROUNDS):
        writer.write(f"{request}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split()[0]))
        statuses.append(int(answer.split(b" ")[1]))
    writer.close()
    return statuses


@pytest.mark.parametrize("query", ["?limit=100", "?limit=1"])
def test_a_thousand_concurrent_requests_stay_below_the_memory_ceiling(
    service: Service, query: str
) -> None:
    async def ask() -> Counter[int]:
        asks = (_ask(service.port, f"/api/alice/tasks{query}") for _ in range(CONNECTIONS))
        return Counter(chain.from_iterable(await asyncio.gather(*asks)))

    statuses = asyncio.run(ask())
    assert statuses.keys() <= {200, 503}
    assert statuses[200] > CONNECTIONS * ROUNDS / 2
    assert peak(service) < CEILING
