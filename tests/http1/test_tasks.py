"""The effect of a request's framing on tasks."""

import json

import pytest
from sqlalchemy.engine import URL

from tests.http1.cases import AFTER_IT, LAST, chunk, request
from tests.http1.responses import parse
from tests.http1.wire import Address, bytewise, exchange
from tests.support.services import sql
from tests.support.serving import bearer

TOKEN = f"Authorization: {bearer('alice')['Authorization']}"
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")
CHUNKS = "Transfer-Encoding: chunked"
JSON = b'{"title": "Milk"}'


def task(*lines: str, body: bytes, token: str | None = TOKEN) -> bytes:
    """Return a request that creates one of alice's tasks."""
    authorization = () if token is None else (token,)
    start = "POST /api/alice/tasks HTTP/1.1"
    return request(*authorization, "Content-Type: application/json", *lines, start=start, body=body)


def test_a_list_has_no_chunks_in_http_1_0(address: Address, database_url: URL) -> None:
    sql(
        database_url,
        "INSERT INTO tasks (user_id, title) SELECT 'zoe', n FROM generate_series(1, 2500) n",
    )
    line = f"Authorization: {bearer('zoe')['Authorization']}"
    for version, in_chunks in (("1.0", False), ("1.1", True)):
        start = f"GET /api/zoe/tasks HTTP/{version}"
        [received] = exchange(address, [[request(line, "Connection: close", start=start)]])
        [response] = parse(received.data)
        assert (response.in_chunks, response.until_the_end) == (in_chunks, not in_chunks)
        assert json.loads(response.body)["count"] == 2500


def titles(database_url: URL) -> list[str]:
    rows = sql(database_url, "SELECT title FROM tasks WHERE user_id = 'alice' ORDER BY id")
    sql(database_url, "DELETE FROM tasks WHERE user_id = 'alice'")
    return [title for (title,) in rows]


@pytest.mark.parametrize(
    "stream",
    [
        task(f"Content-Length: {len(JSON) + 1}", body=JSON),
        task(CHUNKS, body=chunk(JSON)),
        task(CHUNKS, body=chunk(JSON) + b"0\r\n"),
        task(CHUNKS, body=chunk(JSON) + b"0\r\nX: y\r\n"),
        task(CHUNKS, body=chunk(JSON) + b"x\r\n"),
        task(CHUNKS, body=chunk(JSON)[:-2] + b"\n0\r\n\r\n"),
    ],
)
def test_an_incomplete_body_creates_no_task(
    address: Address, database_url: URL, stream: bytes
) -> None:
    titles(database_url)  # deletes the tasks of other tests
    exchange(address, [[stream]], waits=False)
    exchange(address, [[AFTER_IT]])
    assert titles(database_url) == []


def test_each_request_that_offers_an_upgrade_creates_one_task(
    address: Address, database_url: URL
) -> None:
    bodies = [b'{"title": "Milk %03d"}' % number for number in range(2)]
    framed = [(f"Content-Length: {len(bodies[0])}", bodies[0]), (CHUNKS, chunk(bodies[1]) + LAST)]
    streams = [task(*UPGRADE, line, body=body) for line, body in framed]
    forms = [[b"".join(streams) + AFTER_IT], bytewise(b"".join(streams) + AFTER_IT)]
    for received in exchange(address, forms):
        statuses = [(response.id, response.status) for response in parse(received.data)]
        assert statuses == [("r1", 201), ("r1", 201), ("after", 200)]
    assert sorted(titles(database_url)) == ["Milk 000"] * 2 + ["Milk 001"] * 2


def test_trailers_are_not_used_as_token_or_idempotency_key(
    address: Address, database_url: URL
) -> None:
    own, key = TOKEN.encode(), b"Idempotency-Key: from-trailer"
    other = f"Authorization: {bearer('bob')['Authorization']}".encode()
    body = chunk(JSON) + b"0\r\n%b\r\n\r\n"
    anonymous = task(CHUNKS, token=None, body=body % own)
    [received] = exchange(address, [[anonymous]], waits=False)
    assert [response.status for response in parse(received.data)] == [401]
    for trailer in (other, key, key):
        stream = task(CHUNKS, body=body % trailer)
        [received] = exchange(address, [[stream, AFTER_IT]])
        created, _ = parse(received.data)
        assert created.status == 201
        assert not created.header("idempotency-replayed")
    assert titles(database_url) == ["Milk"] * 3
