"""Behind a proxy that shares its connections, each client gets the response to its own request."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import NamedTuple

import pytest
from sqlalchemy.engine import URL

from tests.http1.cases import AFTER_IT, LAST, Case, chunk, request
from tests.http1.client import Client
from tests.http1.judge import summarize
from tests.http1.nginx import nginx
from tests.http1.responses import Response, parse
from tests.http1.tables import CASES as ALL_CASES
from tests.http1.wire import Address, Received, exchange
from tests.support.services import sql
from tests.support.serving import bearer

pytestmark = pytest.mark.slow

USERS = ("alice", "bob")
ATTACKERS, ATTACKS = 4, 400  # at the same time, and in total
UPGRADES = ("h2c", "websocket", "TLS/1.0, HTTP/1.1")
# nginx supports HTTP/0.9, whose responses have no head.
CASES = [case for case in ALL_CASES if case.name != "request line 'GET /echo'"]
# Good requests that nginx changes or refuses, or after which it closes the connection.
OTHERWISE = (
    "100 header lines",  # nginx adds one
    "Host ''",
    "header 'Connection: closed'",
    "header 'Connection: x-close'",
    "Content-Length '\\t5\\t'",
    "Transfer-Encoding '\\tchunked'",
    "Transfer-Encoding 'chunked \\t'",
)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, address: Address) -> Iterator[Address]:
    with nginx(tmp_path_factory.mktemp("nginx"), address) as front:
        yield front


@pytest.fixture(scope="module")
def exchanged(front: Address) -> dict[str, Received]:
    """The data received for each case. All cases share the proxy's connections."""
    came_back = exchange(front, [[case.stream + AFTER_IT] for case in CASES])
    return {case.name: received for case, received in zip(CASES, came_back, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_gets_only_its_own_responses(case: Case, exchanged: dict[str, Received]) -> None:
    """nginx repairs some requests that the service would refuse, and refuses some itself."""
    seen = [summarize(each) for each in parse(exchanged[case.name].data) if is_ours(each)]
    tags = [summary.tag for summary in seen if summary.tag]
    stream = case.stream + AFTER_IT
    assert tags == sorted(set(tags), key=lambda tag: stream.index(tag.encode()))
    echoes = {
        each.tag: each.echo for outcome in case.outcomes for each in outcome.responses if each.echo
    }
    for summary in seen:
        if summary.status == 200 and summary.tag in echoes:
            assert summary.echo == echoes[summary.tag]
    if is_good(case):
        assert tags == [*(each.tag for each in case.outcomes[0].responses), "after"]


def is_good(case: Case) -> bool:
    return case.name not in OTHERWISE and all(
        not outcome.closes and all(each.status == 200 for each in outcome.responses)
        for outcome in case.outcomes
    )


def is_ours(response: Response) -> bool:
    return response.id != ""


def line_of(user_id: str) -> str:
    return f"Authorization: {bearer(user_id)['Authorization']}"


@pytest.fixture
def titles(database_url: URL) -> None:
    for user_id in (*USERS, "mallory"):
        sql(database_url, "INSERT INTO tasks (user_id, title) VALUES (%s, %s)", user_id, user_id)


class Seen(NamedTuple):
    """The expected and the actual response: its status, its id, and the owners of its tasks."""

    expected: tuple[int, str, set[str]]
    found: tuple[int, str, set[str]]


def tasks_of(user_id: str, tag: str, *lines: str) -> bytes:
    start = f"GET /api/{user_id}/tasks HTTP/1.1"
    return request(line_of(user_id), *lines, start=start, tag=tag)


def hidden() -> bytes:
    """Return a request for mallory's tasks, to be hidden in the body of another request."""
    return tasks_of("mallory", "smuggled")


def attack(front: Address, chunks: bool, number: int) -> list[Seen]:
    """Offer an upgrade, and send a body that looks like a request."""
    body = chunk(hidden()) + LAST if chunks else hidden()
    framing = "Transfer-Encoding: chunked" if chunks else f"Content-Length: {len(body)}"
    lines = framing, "Connection: Upgrade", f"Upgrade: {UPGRADES[number % 3]}"
    with closing(Client(front)) as client:
        client.send(tasks_of("mallory", f"mallory-{number}", *lines))
        time.sleep(0.0005 * (number % 4))
        client.send(body)
        return [seen(client, "mallory", f"mallory-{number}")]


def ask(front: Address, user_id: str, name: str, ends: threading.Event) -> list[Seen]:
    """Request the user's tasks until the attack ends."""
    found: list[Seen] = []
    with closing(Client(front)) as client:
        while not ends.is_set():
            tag = f"{user_id}-{name}-{len(found)}"
            client.send(tasks_of(user_id, tag))
            found.append(seen(client, user_id, tag))
    return found


def seen(client: Client, user_id: str, tag: str) -> Seen:
    """Read the next response, and return its expected and its actual content."""
    response = client.read_one()
    tasks = json.loads(response.body).get("tasks", []) if is_ours(response) else []
    owners = {task["user_id"] for task in tasks}
    return Seen((200, tag, {user_id}), (response.status, response.id, owners))


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunks"])
def test_no_user_gets_another_users_response(front: Address, titles: None, chunks: bool) -> None:
    ends = threading.Event()
    with ThreadPoolExecutor(ATTACKERS + 6) as pool:
        asking = [pool.submit(ask, front, user, str(n), ends) for user in USERS for n in range(3)]
        attacks = [pool.submit(attack, front, chunks, n) for n in range(ATTACKS)]
        wait(attacks)
        ends.set()
    found = [one for each in (*asking, *attacks) for one in each.result()]
    assert [one for one in found if one.expected != one.found] == []
    assert len(found) > 2 * ATTACKS
