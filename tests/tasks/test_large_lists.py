"""How much of a list is read at once depends on the size of the lists in memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from database import Session
from schemas import TaskResponse
from tasks.large_lists import ALWAYS, CHUNK, MAX_BYTES, MAX_CHUNK, UNKNOWN, LargeList, LargeLists
from tasks.pagination import PART, json_size
from tasks.serialization import to_json, to_tasks


def read(lists: LargeLists, count: int, size: float) -> list[LargeList]:
    """Read up to `count` lists, until there is no room for another."""
    held: list[LargeList] = []
    while len(held) < count and (large := lists.first_chunk(None)[1]):
        held.append(large)
    for large in held:
        large.settle(size)
    return held


def test_without_room_only_a_chunk_is_read() -> None:
    lists = LargeLists()
    held = read(lists, 100, MAX_BYTES)
    assert len(held) == MAX_BYTES // UNKNOWN
    for limit in (None, CHUNK, CHUNK + 1, MAX_CHUNK):
        assert lists.first_chunk(limit) == (CHUNK, None)
    assert lists.first_chunk(1) == (1, None)


def test_many_small_lists_are_read_whole_at_once() -> None:
    lists = LargeLists()
    for _ in range(30):
        read(lists, 1, 1000)
    assert len(read(lists, 30, 1000)) == 30


def test_when_a_list_has_been_sent_there_is_room_for_another() -> None:
    lists = LargeLists()
    held = read(lists, 100, MAX_BYTES)
    del held[ALWAYS - 1 :]
    assert lists.first_chunk(None)[0] == MAX_CHUNK


@pytest.mark.parametrize("size", [UNKNOWN, 3 * UNKNOWN, MAX_BYTES, 10 * MAX_BYTES])
def test_after_a_large_list_only_lists_that_fit_in_memory_are_read_at_once(size: int) -> None:
    lists = LargeLists()
    read(lists, 1, size)
    assert len(read(lists, 100, size)) == max(ALWAYS, MAX_BYTES // size)


def test_the_size_of_a_list_is_estimated_from_its_first_part() -> None:
    values = {
        "title": "Tea",
        "description": "x" * 500,
        **dict.fromkeys(("created_at", "updated_at"), "2026-01-09 12:30:45+00"),
    }
    row = [values.get(name) for name in TaskResponse.model_fields]
    tasks = to_tasks([row] * (CHUNK + 1))
    assert json_size(tasks) == pytest.approx(len(to_json(tasks)), rel=0.01)
    assert json_size(tasks[:CHUNK]) == 0
    assert PART <= CHUNK


def test_concurrent_lists_of_1000_tasks_need_one_statement_each(
    database: Connection,
    client: httpx.Client,
    alice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first round only lets the service learn the size of the lists."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks (user_id, title) SELECT %s, 'Tea' FROM generate_series(1, 1000)",
            [alice],
        )
    statements = []
    fetch: Callable[..., Any] = Session.fetch

    async def counted(self: Session, *args: Any, **kwargs: Any) -> Any:
        statements.append(args)
        return await fetch(self, *args, **kwargs)

    def count(_: int) -> int:
        return int(client.get(f"/api/{alice}/tasks").json()["count"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(24)))
        monkeypatch.setattr(Session, "fetch", counted)
        assert list(pool.map(count, range(24))) == [1000] * 24
    assert len(statements) == 24


@pytest.mark.parametrize(("limit", "is_last"), [(1, True), (CHUNK, True), (CHUNK + 1, False)])
def test_only_a_small_list_passes_its_connection_on_before_its_response_is_made(
    limit: int,
    is_last: bool,
    client: httpx.Client,
    alice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rows of many large lists would otherwise be in memory at once."""
    fetch: Callable[..., Any] = Session.fetch
    last: list[bool] = []

    async def recorded(self: Session, *args: Any, **kwargs: Any) -> Any:
        last.append(kwargs.get("last", False))
        return await fetch(self, *args, **kwargs)

    monkeypatch.setattr(Session, "fetch", recorded)
    assert client.get(f"/api/{alice}/tasks", params={"limit": limit}).status_code == 200
    assert last == [is_last]
