"""Many concurrent requests to a suspended database: all of them wait for it and are served."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.faults import report
from tests.faults.conftest import Serve
from tests.faults.load import TASKS
from tests.faults.servers import Postgres
from tests.faults.wire import Answer, Connection, request
from tests.support.processes import Service
from tests.support.tcp_proxy import STARTING_UP, Proxy, proxy

AT_ONCE = 200
ASLEEP = 3.0  # seconds

SUSPENSIONS: dict[str, Callable[[Proxy], None]] = {
    "refuses connections": Proxy.close,
    "resets connections": Proxy.reset,
    "says that it is starting up": partial(Proxy.fail, error=STARTING_UP),
    "holds connections, and serves them afterwards": Proxy.hold,
    "never serves the connections of that time, and serves new ones afterwards": Proxy.hold,
}


@pytest.fixture(scope="module")
def way(database: Postgres) -> Iterator[Proxy]:
    with proxy(database.tasks) as way:
        way.open()
        yield way


@pytest.fixture(scope="module")
def service(serve: Serve, way: Proxy) -> Iterator[Service]:
    with serve(way.url) as service:
        yield service.starts()
        assert service.stops() == 0


class Crowd:
    """AT_ONCE requests, each on its own connection. Every second one creates a task."""

    def __init__(self, port: int) -> None:
        self.connections = [Connection(port) for _ in range(AT_ONCE)]

    async def send(self) -> list[Answer]:
        try:
            return await asyncio.gather(*(self._ask(number) for number in range(AT_ONCE)))
        finally:
            for connection in self.connections:
                connection.close()
            await asyncio.sleep(0)  # so that they are closed before the event loop ends

    async def _ask(self, number: int) -> Answer:
        if number % 2:
            return await self.connections[number].ask(request("GET", f"{TASKS}?limit=5"))
        title = {"title": f"waiting {number}"}
        return await self.connections[number].ask(request("POST", TASKS, body=title))


@pytest.mark.parametrize("does", SUSPENSIONS)
def test_every_request_waits_for_a_database_that_wakes_up(
    database: Postgres, service: Service, way: Proxy, does: str
) -> None:
    database.sql("DELETE FROM tasks")

    async def scene() -> tuple[list[Answer], float]:
        sent = asyncio.create_task(Crowd(service.port).send())
        await asyncio.sleep(ASLEEP)
        assert not sent.done()
        since = time.perf_counter()
        if "never" in does:
            way.strand()
        else:
            way.open()
        return await sent, time.perf_counter() - since

    way.cut()
    SUSPENSIONS[does](way)
    answers, seconds = asyncio.run(scene())
    statuses = Counter(answer.status for answer in answers)
    seen: dict[str, Any] = {
        "requests at once": AT_ONCE,
        "responses": dict(statuses),
        "seconds from waking to the last response": seconds,
    }
    done = f"Postgres is suspended for 3 s: it {does}"
    report.remark(done, seen, "every request succeeded, once")
    assert statuses == {200: AT_ONCE // 2, 201: AT_ONCE // 2}
    found = database.sql("SELECT count(*), count(DISTINCT title) FROM tasks")
    assert found == [(AT_ONCE // 2, AT_ONCE // 2)]
