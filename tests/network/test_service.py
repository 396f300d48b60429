"""The service on a bad network to its database, with TLS and SCRAM."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from database import LIBPQ_DEFAULTS
from tests.faults.load import balance, load
from tests.faults.wire import Connection, request
from tests.network.conftest import Database, Serve
from tests.network.link import DATABASE_ADDRESS, SERVICE_ADDRESS, Link
from tests.support.processes import Service
from tests.support.services import DATABASE_UNAVAILABLE, eventually, sql

TASKS = "/api/alice/tasks"
BLACK_HOLE = {"reaches_database": False, "reaches_service": False}
KILL_ALL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def timed(client: httpx.Client, method: str, path: str, **rest: Any) -> tuple[int, float]:
    """Send a request, and return its status and duration in seconds."""
    began = time.monotonic()
    response = client.request(method, path, **rest)
    return response.status_code, time.monotonic() - began


def operations(client: httpx.Client, key: str) -> Iterator[tuple[str, int, float]]:
    """Send each operation once, and yield its method, status and duration in seconds."""
    task = f"{TASKS}/{client.post(TASKS, json={'title': 'Milk'}).json()['id']}"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", TASKS, {}),
        ("GET", task, {}),
        ("POST", TASKS, {"json": {"title": "Bread"}}),
        ("POST", TASKS, {"json": {"title": "Salt"}, "headers": {"Idempotency-Key": key}}),
        ("PUT", task, {"json": {"title": "Butter"}}),
        ("PATCH", f"{task}/complete", {}),
        ("DELETE", task, {}),
    ]
    for method, path, rest in requests:
        yield method, *timed(client, method, path, **rest)


def test_each_operation_takes_one_round_trip(client: httpx.Client, link: Link) -> None:
    """Only the second run is timed, because the first one prepares the statements."""
    assert all(status < 300 for _, status, _ in operations(client, "first"))
    link.set(round_trip=200)
    for method, status, seconds in operations(client, "second"):
        assert status < 300, method
        assert 0.2 <= seconds < 0.39, method


def test_a_burst_at_a_round_trip_of_30_ms_has_no_errors(service: Service, link: Link) -> None:
    async def burst() -> list[int]:
        connections = [Connection(service.port) for _ in range(200)]
        requests = (
            request("POST", TASKS, body={"title": "Milk"}) if number % 5 else request("GET", TASKS)
            for number in range(200)
        )
        calls = (each.ask(text) for each, text in zip(connections, requests, strict=True))
        responses = await asyncio.gather(*calls)
        for each in connections:
            each.close()
        return [response.status for response in responses]

    link.set(round_trip=30)
    assert Counter(asyncio.run(burst())) == {200: 40, 201: 160}


def test_a_black_hole_under_load_loses_and_duplicates_no_task(
    service: Service, database: Database, link: Link
) -> None:
    """Timeouts: 5 s for a statement, 2 s for a connection, and less than 2 s for /health."""
    with load(service.port) as users:
        time.sleep(1)
        link.set(**BLACK_HOLE)
        began = time.monotonic()
        time.sleep(6)
        ended = time.monotonic()
        link.set()
        time.sleep(2.5)
    ledger = users.ledger
    assert ledger.dishonest == []
    assert not ledger.broken + ledger.health_broken
    assert set(ledger.codes) <= {"DATABASE_UNAVAILABLE", "OVERLOADED"}
    assert 4.5 < ledger.slowest < 7.5
    assert max(seconds for _, seconds, _ in ledger.health) < 2
    meanwhile = {status for since, took, status in ledger.health if began < since < ended - took}
    assert meanwhile == {503}
    assert ledger.healthy_after(ended) < 2
    counted = balance(ledger, database.near)
    assert counted["acknowledged"] == counted["found"] > 0
    assert (counted["lost"], counted["duplicated"]) == (0, 0)


@pytest.mark.parametrize("direction", ["reaches_database", "reaches_service"])
def test_a_creation_whose_response_was_lost_can_be_repeated_with_its_key(
    client: httpx.Client, database: Database, link: Link, direction: str
) -> None:
    title = f"created-when-nothing-{direction}"
    creation: dict[str, Any] = {"json": {"title": title}, "headers": {"Idempotency-Key": title}}
    link.set(**{direction: False})
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.post, TASKS, **creation)
        time.sleep(0.5)
        assert [timed(client, "GET", "/health")[0] for _ in range(2)] == [503, 503]
        first = asked.result()
    assert (first.status_code, first.json()) == (503, DATABASE_UNAVAILABLE)
    assert 4.5 < first.elapsed.total_seconds() < 6
    link.set()
    eventually(lambda: client.get("/health").is_success, 10)
    second = client.post(TASKS, **creation)
    assert second.status_code == 201
    # TCP delivers the statement after the black hole, unless the service has cancelled it before.
    assert second.headers.get("idempotency-replayed") in (
        ("true",) if direction == "reaches_service" else (None, "true")
    )
    assert sql(database.near, "SELECT count(*) FROM tasks WHERE title = %s", title) == [(1,)]


def test_a_packet_loss_of_5_percent_causes_no_errors(
    service: Service, database: Database, link: Link
) -> None:
    link.set(round_trip=10, loss=5)
    with load(service.port) as users:
        time.sleep(6)
    counts, ledger = link.set(), users.ledger
    assert counts.lost > 20
    assert set(ledger.answers) == {200, 201}
    assert not ledger.broken + ledger.health_broken
    assert {status for _, _, status in ledger.health} == {200}
    counted = balance(ledger, database.near)
    assert counted["acknowledged"] == counted["found"] > 0
    assert (counted["lost"], counted["duplicated"]) == (0, 0)


def test_connections_of_vanished_clients_are_closed(service: Service, link: Link) -> None:
    """One client does not read its response (timeout 20 s), one sends half a request (15 s)."""

    def held() -> int:
        connections = psutil.Process(service.process.pid).net_connections("tcp")
        return sum(bool(each.raddr) and each.raddr.ip == DATABASE_ADDRESS and
                   each.laddr.port == service.port for each in connections)  # fmt: skip

    whole = request("GET", "/health/live", None)
    with ExitStack() as stack:
        with link.inside("database"):
            address = (SERVICE_ADDRESS, service.port)
            clients = [stack.enter_context(socket.create_connection(address)) for _ in range(2)]
        eventually(lambda: held() == 2)
        # The clients are on the database's side, so the responses to them are lost.
        link.set(reaches_database=False)
        for client, text in zip(clients, (whole, whole[:30]), strict=True):
            client.sendall(text)
        time.sleep(0.5)
        link.set(**BLACK_HOLE)
        assert held() == 2
        eventually(lambda: held() == 0, 25)


POOL_SIZE = 10  # the default


def test_an_idle_connection_that_postgres_closed_in_a_black_hole_fails_no_write(
    service: Service, client: httpx.Client, database: Database, link: Link
) -> None:
    """Postgres closes the connections during a black hole, and sends the FIN again after it."""

    def open_connections() -> int:
        connections = psutil.Process(service.process.pid).net_connections("tcp")
        ends = [each.status for each in connections if each.raddr[:1] == (DATABASE_ADDRESS,)]
        return ends.count("ESTABLISHED")

    eventually(lambda: open_connections() >= POOL_SIZE)  # else the pool goes on opening them
    link.set(**BLACK_HOLE)
    [(killed,)] = sql(database.near, KILL_ALL)
    assert killed > 0
    time.sleep(1)
    link.set()
    eventually(lambda: open_connections() == 0, 20)  # TCP waits longer before each retransmission
    status, seconds = timed(client, "POST", TASKS, json={"title": "Milk"})
    assert status == 201
    assert seconds < 1


def test_keepalives_find_dead_idle_connections(serve: Serve, database: Database,
                                                            link: Link) -> None:  # fmt: skip
    """The keepalives here are ten times as frequent as the service's own."""
    names = ("keepalives_idle", "keepalives_interval")
    shorter = {name: str(int(LIBPQ_DEFAULTS[name]) // 10) for name in names}
    shorter["tcp_user_timeout"] = str(int(LIBPQ_DEFAULTS["tcp_user_timeout"]) // 10)
    url = database.far.update_query_dict(shorter)
    with serve(url) as service, service.starts().client() as client:
        assert timed(client, "POST", TASKS, json={"title": "Milk"})[0] == 201
        link.set(forgets_connections=True)
        time.sleep(5)
        status, seconds = timed(client, "POST", TASKS, json={"title": "Bread"})
    assert status == 201
    assert seconds < 1


def test_after_a_statement_without_response_no_idle_connection_is_trusted(
    client: httpx.Client, link: Link
) -> None:
    """Otherwise each dead connection of the pool would cost a client another 503."""
    with ThreadPoolExecutor(8) as threads:
        assert {response.status_code for response in threads.map(client.get, [TASKS] * 40)} == {200}
    link.set(forgets_connections=True)
    assert timed(client, "POST", TASKS, json={"title": "Milk"})[0] == 503
    assert client.post(TASKS, json={"title": "Bread"}, timeout=2).status_code == 201
