"""Prepared statements through PgBouncer in transaction mode, with several configurations.

Two processes of the service share two server connections, which are replaced continuously.
"""

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postgres import prepared
from tests.faults import report
from tests.faults.conftest import Serve
from tests.faults.pgbouncer import pgbouncer, version
from tests.faults.servers import Postgres
from tests.faults.wire import Connection, request
from tests.support.services import sql

USERS = 8  # of each process; each user sends one request at a time
SECONDS = 3.0
REASONS = {
    "26000": r'prepared statement "task_api_\w+" does not exist',
    "42P05": r'prepared statement "task_api_\w+" already exists',
    "0A000": "cached plan must not change result type",
}
TRACKING: dict[str, dict[str, object]] = {
    "without max_prepared_statements": {},
    "with max_prepared_statements": {"max_prepared_statements": 100},
}


class Users:
    """Users of one process. They check the result of every request."""

    def __init__(self, port: int) -> None:
        self.requests = 0
        self.failures: Counter[str] = Counter()
        self._port = port

    async def run(self, until: float) -> None:
        """Call every operation repeatedly until `until`, by the event loop's clock."""
        async with asyncio.TaskGroup() as group:
            for number in range(USERS):
                group.create_task(self._use(f"user_{id(self)}_{number}", until))

    async def _use(self, user_id: str, until: float) -> None:
        connection, tasks = Connection(self._port), f"/api/{user_id}/tasks"

        async def ask(method: str, path: str, body: Any = None) -> Any:
            answer = await connection.ask(request(method, path, user_id, body))
            self.requests += 1
            if answer.status >= 300:
                self.failures[f"{method} {answer.status}"] += 1
            return answer.json if answer.body else None

        for turn in itertools.count():
            if asyncio.get_running_loop().time() > until or self.failures:
                break
            task = await ask("POST", tasks, {"title": f"Task {turn}"})
            path = f"{tasks}/{task['id']}"
            assert await ask("GET", path) == task
            updated = await ask("PUT", path, {"title": "Tea", "description": "Green"})
            assert (updated["title"], updated["description"]) == ("Tea", "Green")
            # A toggle that was executed twice would not change the task.
            assert [(await ask("PATCH", f"{path}/complete"))["completed"] for _ in "12"] == [
                True,
                False,
            ]
            page = await ask("GET", f"{tasks}?sort=title&status=pending&limit=5")
            assert [each["title"] for each in page["tasks"]] == ["Tea"]
            await ask("DELETE", path)
            assert (await ask("GET", tasks))["count"] == 0
        connection.close()


async def use(ports: list[int], disturb: Callable[[], Any]) -> list[Users]:
    """Use the services at `ports` for SECONDS, and call `disturb` meanwhile."""
    users = [Users(port) for port in ports]
    end = asyncio.get_running_loop().time() + SECONDS
    async with asyncio.TaskGroup() as group:
        for each in users:
            group.create_task(each.run(end))
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.3)
            await asyncio.to_thread(disturb)
    return users


def sent_again(log: Path, start: int) -> dict[str, int]:
    """Return how many statements failed for each reason, and so were sent again."""
    text = log.read_bytes()[start:].decode()
    return {state: len(re.findall(f"ERROR:  {line}", text)) for state, line in REASONS.items()}


@pytest.mark.parametrize("tracking", TRACKING)
def test_every_operation_works_while_server_connections_are_replaced(
    tracking: str, serve: Serve, database: Postgres, tmp_path: Path
) -> None:
    """PgBouncer replaces them every second and on RECONNECT. A column's type changes too."""
    settings = TRACKING[tracking]
    if settings and version() < (1, 21):
        pytest.skip("this PgBouncer is older than max_prepared_statements")
    turns = itertools.count()
    with (
        pgbouncer(
            database, tmp_path / "log", default_pool_size=2, server_lifetime=1, **settings
        ) as url,
        serve(url) as one,
        serve(url) as other,
    ):

        def disturb() -> None:
            if (turn := next(turns)) % 2:
                sql(url.set(database="pgbouncer"), "RECONNECT")
            else:
                database.sql(f"ALTER TABLE tasks ALTER title TYPE varchar({200 + turn % 4})")

        ports, start = [one.starts().port, other.starts().port], database.log.stat().st_size
        users = asyncio.run(use(ports, disturb))
        again = sent_again(database.log, start)
        assert prepared.LOST not in "\n".join(one.lines + other.lines)
        assert (one.stops(), other.stops()) == (0, 0)
    assert [each.failures for each in users] == [{}, {}]
    assert min(again["26000"], again["0A000"]) > 0
    report.remark(
        f"PgBouncer {tracking}: two processes share two connections, replaced each second",
        {"requests": sum(each.requests for each in users), **again},
        "every request succeeded, once",
    )


def test_prepared_statements_are_turned_off_behind_a_pooler_that_discards_them(
    serve: Serve, database: Postgres, tmp_path: Path
) -> None:
    """From then on, the service sends plain SQL."""
    with (
        pgbouncer(database, tmp_path / "log", server_reset_query_always=1) as url,
        serve(url) as service,
    ):
        port, start = service.starts().port, database.log.stat().st_size
        users: list[Users] = []
        while prepared.LOST not in "\n".join(service.lines):
            users += asyncio.run(use([port, port], lambda: None))
        again = sent_again(database.log, start)
        users += asyncio.run(use([port, port], lambda: None))
        assert sent_again(database.log, start) == again
        assert "\n".join(service.lines).count(prepared.LOST) == 1
        assert service.stops() == 0
    assert not any(each.failures for each in users)
    assert again["26000"] < prepared.RECOVERIES + 2 * USERS + 1
    report.remark(
        "PgBouncer discards prepared statements after each transaction",
        {"requests": sum(each.requests for each in users), **again},
        "prepared statements were turned off; every request succeeded",
    )
