"""Idempotency-Key: a request that is sent again never creates a second task."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from sqlalchemy.engine import URL

from routing import admission
from schemas import TaskCreate
from tasks.idempotency import CREATE_ONCE, fingerprint
from tasks.serialization import to_json, to_task
from tests.support.responses import invalid_input
from tests.support.services import (
    DATABASE_UNAVAILABLE,
    backends_that_wait,
    database_of_its_own,
    eventually,
    locked_tasks,
    recorded_log,
    service,
    sql,
)
from tests.support.serving import bearer
from tests.support.tcp_proxy import proxy

Post = Callable[..., httpx.Response]

MILK = {"title": "Buy milk", "description": "Two litres"}
KEY_REUSED = {
    "detail": "This Idempotency-Key was used with another body; use a new one.",
    "code": "IDEMPOTENCY_KEY_REUSED",
}
TASK_NOT_FOUND = {"detail": "There is no such task.", "code": "TASK_NOT_FOUND"}


@pytest.fixture
def key() -> str:
    return secrets.token_urlsafe()


@pytest.fixture
def post(client: httpx.Client, alice: str, key: str) -> Post:
    """A function that creates a task of alice with the key."""

    def post(body: Any = MILK, key: str = key) -> httpx.Response:
        return client.post(f"/api/{alice}/tasks", json=body, headers={"Idempotency-Key": key})

    return post


@pytest.fixture
def count(client: httpx.Client, alice: str) -> Callable[[], int]:
    """A function that returns the number of alice's tasks."""
    return lambda: int(client.get(f"/api/{alice}/tasks").json()["count"])


@pytest.fixture
def cursor(database: Connection) -> Iterator[Cursor]:
    with database.cursor() as cursor:
        yield cursor


def assert_replayed(response: httpx.Response, first: httpx.Response) -> None:
    assert (response.status_code, response.json()) == (201, first.json())
    assert response.headers["idempotency-replayed"] == "true"
    for name in ("location", "etag"):
        assert response.headers[name] == first.headers[name]


def test_the_first_request_with_a_key_creates_a_task(
    post: Post, client: httpx.Client, alice: str
) -> None:
    response = post()
    task = response.json()
    assert response.status_code == 201
    assert task.items() >= {**MILK, "user_id": alice, "completed": False}.items()
    assert response.headers["location"] == f"/api/{alice}/tasks/{task['id']}"
    assert response.headers["etag"] == f'"{task["updated_at"]}"'
    assert "idempotency-replayed" not in response.headers
    assert client.get(response.headers["location"]).json() == task


def test_a_hundred_retries_in_sequence_create_one_task(
    post: Post, count: Callable[[], int]
) -> None:
    first = post()
    for _ in range(99):
        assert_replayed(post(), first)
    assert count() == 1


def test_a_hundred_retries_at_once_create_one_task(
    base_url: str, alice: str, key: str, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 60.0)

    async def run() -> list[httpx.Response]:
        headers = {**bearer(alice), "Idempotency-Key": key}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, limits=limits, timeout=60, verify=False
        ) as client:
            posts = [client.post(f"/api/{alice}/tasks", json=MILK) for _ in range(100)]
            return await asyncio.gather(*posts)

    responses = asyncio.run(run())
    [first] = [response for response in responses if "idempotency-replayed" not in response.headers]
    for response in responses:
        if response is not first:
            assert_replayed(response, first)
    assert count() == 1


def test_a_replay_returns_the_task_in_its_current_state(post: Post, client: httpx.Client) -> None:
    location = post().headers["location"]
    changed = client.patch(f"{location}/complete")
    response = post()
    assert (response.status_code, response.json()) == (201, changed.json())
    assert response.headers["etag"] == changed.headers["etag"]


def test_a_replay_of_a_deleted_task_is_a_404_and_creates_nothing(
    post: Post, client: httpx.Client, count: Callable[[], int]
) -> None:
    client.delete(post().headers["location"])
    response = post()
    assert (response.status_code, response.json()) == (404, TASK_NOT_FOUND)
    assert count() == 0


def test_a_key_keeps_no_content_of_a_deleted_task(
    post: Post, client: httpx.Client, cursor: Cursor, key: str
) -> None:
    client.delete(post({"title": "A secret", "description": "A confession"}).headers["location"])
    cursor.execute("SELECT k::text, fingerprint FROM idempotency_keys AS k WHERE key = %s", (key,))
    [(row, fingerprint)] = cursor.fetchall()
    assert "secret" not in row
    assert b"A secret".hex() not in row
    assert len(bytes(fingerprint)) == 32


@pytest.mark.parametrize(
    "body",
    [
        {"title": "Buy oat milk", "description": "Two litres"},
        {"title": "Buy milk", "description": "Three litres"},
        {"title": "Buy milk"},
        {"title": "Buy milk", "description": ""},
        {"title": "Buy milk", "description": "Two litres", "completed": True},
    ],
)
def test_the_same_key_with_another_body_is_refused(
    body: Any, post: Post, count: Callable[[], int]
) -> None:
    first = post()
    response = post(body)
    assert (response.status_code, response.json()) == (409, KEY_REUSED)
    assert "idempotency-replayed" not in response.headers
    assert count() == 1
    assert_replayed(post(), first)


def test_an_equivalent_body_is_a_replay(post: Post) -> None:
    first = post({"title": "Buy milk"})
    for body in ({"title": " Buy milk\n"}, {"id": 7, "description": None, "title": "Buy milk"}):
        assert_replayed(post(body), first)


def test_a_refused_body_does_not_use_up_the_key(post: Post) -> None:
    assert post({"title": ""}).status_code == 400
    assert "idempotency-replayed" not in post().headers


def test_another_key_creates_another_task(post: Post, key: str, count: Callable[[], int]) -> None:
    for other in (key, key + "2", key.swapcase(), f'"{key}"'):
        response = post(key=other)
        assert response.status_code == 201
        assert "idempotency-replayed" not in response.headers
    assert count() == 4


def test_the_keys_of_users_are_independent(
    post: Post, client: httpx.Client, bob: str, key: str
) -> None:
    alices = post().json()
    headers = {**bearer(bob), "Idempotency-Key": key}
    for replayed in (None, "true"):
        response = client.post(f"/api/{bob}/tasks", json={"title": "Bob's"}, headers=headers)
        assert response.json()["user_id"] == bob
        assert response.json()["id"] != alices["id"]
        assert response.headers.get("idempotency-replayed") == replayed


def age(cursor: Cursor, key: str, interval: str) -> None:
    statement = "UPDATE idempotency_keys SET created_at = now() - %s::interval WHERE key = %s"
    cursor.execute(statement, (interval, key))


def test_a_key_can_be_used_again_after_24_hours(
    post: Post, cursor: Cursor, key: str, count: Callable[[], int]
) -> None:
    first = post()
    age(cursor, key, "23 hours 59 minutes")
    assert_replayed(post(), first)
    age(cursor, key, "24 hours 1 second")
    second = post({"title": "Another body"})
    assert (second.status_code, second.json()["title"]) == (201, "Another body")
    assert "idempotency-replayed" not in second.headers
    assert_replayed(post({"title": "Another body"}), second)
    assert count() == 2


def test_a_retry_does_not_extend_the_life_of_a_key(post: Post, cursor: Cursor, key: str) -> None:
    post()
    age(cursor, key, "23 hours")
    post()
    age_now = "SELECT now() - created_at > interval '22 hours' FROM idempotency_keys WHERE key = %s"
    cursor.execute(age_now, (key,))
    assert cursor.fetchall() == [(True,)]


def test_requests_that_reuse_expired_keys_do_not_deadlock(
    base_url: str, alice: str, key: str, post: Post, cursor: Cursor, count: Callable[[], int]
) -> None:
    """Each request takes over its own expired key, and could delete those of the others."""
    keys = [f"{key}{number}" for number in range(40)]
    for each in keys:
        post(key=each)
        age(cursor, each, "25 hours")

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=base_url, headers=bearer(alice), timeout=60, verify=False
        ) as client:
            path = f"/api/{alice}/tasks"
            posts = [
                client.post(path, json=MILK, headers={"Idempotency-Key": each}) for each in keys
            ]
            return await asyncio.gather(*posts)

    for response in asyncio.run(run()):
        assert response.status_code == 201
        assert "idempotency-replayed" not in response.headers
    assert count() == 80


@pytest.mark.parametrize("character", ["!", "~", '"', "%", "'", "\\"])
def test_a_key_may_contain_every_visible_character(
    character: str, post: Post, key: str, count: Callable[[], int]
) -> None:
    longest = (key + character * 255)[:255]
    first = post(key=longest)
    assert_replayed(post(key=longest), first)
    assert count() == 1


@pytest.mark.parametrize(
    "value", ["", "x" * 256, "two words", "tab\there", "caf\xe9", ("one", "two")]
)
def test_a_malformed_key_is_a_400_and_creates_nothing(
    value: str | tuple[str, str], client: httpx.Client, alice: str, count: Callable[[], int]
) -> None:
    lines = value if isinstance(value, tuple) else (value,)
    headers = [(b"Idempotency-Key", line.encode("latin-1")) for line in lines]
    response = client.post(f"/api/{alice}/tasks", json=MILK, headers=headers)
    message = "Idempotency-Key must be 1 to 255 visible ASCII characters."
    body = invalid_input(("header.Idempotency-Key", message))
    assert (response.status_code, response.json()) == (400, body)
    assert count() == 0


def test_a_malformed_key_and_an_invalid_body_are_reported_together(post: Post) -> None:
    errors = post({"title": ""}, key="two words").json()["errors"]
    assert {error["field"] for error in errors} == {"body.title", "header.Idempotency-Key"}


@pytest.mark.parametrize("committed", [True, False])
def test_a_retry_waits_for_the_first_request_and_completes_its_work(
    committed: bool,
    database: Connection,
    post: Post,
    alice: str,
    key: str,
    count: Callable[[], int],
) -> None:
    """The first request has not committed, so the retry's snapshot does not contain its task."""
    task = TaskCreate(**MILK)
    values = {"user_id": alice, "key": key, "fingerprint": fingerprint(task), **task.model_dump()}
    database.autocommit = False
    with database.cursor() as cursor, ThreadPoolExecutor() as threads:
        cursor.execute(CREATE_ONCE.sql, values)
        [(task_id, same, replayed, *row)] = cursor.fetchall()
        assert (replayed, same) == (False, True)
        retry = threads.submit(post)
        time.sleep(0.3)
        assert not retry.done()
        (database.commit if committed else database.rollback)()
        response = retry.result()
    assert response.status_code == 201
    assert (response.json()["id"] == task_id) == committed
    texts = [str(value) if isinstance(value, datetime) else value for value in row]
    assert (response.content == to_json(to_task(texts))) == committed
    assert ("idempotency-replayed" in response.headers) == committed
    assert count() == 1


def test_a_field_that_is_added_later_does_not_change_the_fingerprint_of_old_bodies() -> None:
    class Later(TaskCreate):
        mood: str = "calm"
        remind_on: date | None = None

    body: dict[str, Any]
    for body in ({"title": "Tea"}, MILK, MILK | {"description": None}):
        assert fingerprint(Later(**body)) == fingerprint(TaskCreate(**body))
    before = sha256(b'{"title":"Tea"}').digest()  # before the field `completed` existed
    assert fingerprint(TaskCreate(title="Tea", completed=False)) == before
    changed = Later(**MILK, remind_on=date(2026, 1, 31))
    assert fingerprint(changed) != fingerprint(TaskCreate(**MILK))


TASKS, HEADERS = "/api/alice/tasks", {"Idempotency-Key": "the-key"}


@pytest.mark.parametrize(("kills", "status"), [(1, 201), (2, 503)])
def test_a_create_with_a_key_is_sent_again_after_a_lost_connection(
    postgres: URL, kills: int, status: int
) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url) as client,
        ThreadPoolExecutor() as threads,
        locked_tasks(url) as release,
    ):
        request = threads.submit(client.post, TASKS, json=MILK, headers=HEADERS)
        for _ in range(kills):
            for pid in eventually(lambda: backends_that_wait(url)):
                sql(url, "SELECT pg_terminate_backend(%s, 2000)", pid)
        time.sleep(0.1)
        release()
        response = request.result()
        assert response.status_code == status
        assert status == 201 or response.json() == DATABASE_UNAVAILABLE
        assert client.post(TASKS, json=MILK, headers=HEADERS).status_code == 201
        assert client.get(TASKS).json()["count"] == 1


def test_a_create_with_a_key_survives_the_loss_of_the_databases_response(postgres: URL) -> None:
    """The database creates the task, the connection breaks, and the service retries by itself."""
    with (
        database_of_its_own(postgres) as url,
        proxy(url) as way,
        service(way.url) as client,
        ThreadPoolExecutor() as threads,
    ):
        way.open()
        assert client.get(TASKS).json()["count"] == 0
        with locked_tasks(url) as release:
            request = threads.submit(client.post, TASKS, json=MILK, headers=HEADERS)
            eventually(lambda: backends_that_wait(url))
            way.hold()
            release()
        eventually(lambda: sql(url, "SELECT id FROM tasks"))
        way.cut()
        response = request.result()
        assert (response.status_code, response.json()["title"]) == (201, "Buy milk")
        assert response.headers["idempotency-replayed"] == "true"
        assert client.get(TASKS).json()["tasks"] == [response.json()]


@pytest.fixture
def limited_role(postgres: URL) -> Iterator[str]:
    """A database role that owns nothing."""
    role = f"role_{secrets.token_hex(4)}"
    sql(postgres, f"CREATE ROLE {role} LOGIN")
    yield role
    sql(postgres, f"DROP ROLE {role}")


def test_the_service_works_with_a_role_that_does_not_own_the_tables(
    postgres: URL, limited_role: str
) -> None:
    with database_of_its_own(postgres) as url:
        rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON tasks, idempotency_keys TO"
        sql(url, f"{rights} {limited_role}; GRANT USAGE ON SEQUENCE tasks_id_seq TO {limited_role}")
        with service(url.set(username=limited_role)) as client:
            responses = [client.post(TASKS, json=MILK, headers=HEADERS) for _ in range(2)]
            assert_replayed(responses[1], responses[0])
            assert client.delete(responses[0].headers["location"]).status_code == 204


def test_the_log_never_contains_a_key(postgres: URL) -> None:
    with (
        database_of_its_own(postgres) as url,
        service(url, log_level="debug", access_log=True) as client,
        recorded_log() as log,
    ):
        bodies = [MILK, MILK, {"title": "Tea"}, {"title": ""}]
        statuses = [client.post(TASKS, json=body, headers=HEADERS).status_code for body in bodies]
        sql(url, "DROP TABLE idempotency_keys")
        statuses += [client.post(TASKS, json=MILK, headers=HEADERS).status_code]
        assert statuses == [201, 201, 409, 400, 503]
    assert log.getvalue().count("[POST /api/alice/tasks]") >= 5
    assert "the-key" not in log.getvalue()
