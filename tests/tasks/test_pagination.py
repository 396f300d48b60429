"""Lists: filters, orders, cursors, pages that neither skip nor repeat tasks, and whole lists."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL

from database import Database
from routing.admission import Admission
from schemas import TaskQuery
from tasks.pagination import list_json, read_page
from tests.support.responses import invalid_input
from tests.support.serving import bearer

Task = dict[str, Any]
Create = Callable[..., Task]
Page = dict[str, Any]

ORDERS = [("created", "asc"), ("created", "desc"), ("title", "asc"), ("title", "desc")]
in_every_order = pytest.mark.parametrize(("sort", "order"), ORDERS)


@pytest.fixture
def tasks(database: Connection, client: httpx.Client, alice: str) -> list[Task]:
    """Twelve tasks of alice by id. Some times and titles are equal, and a third is completed."""
    titles = ["pear", "Apple", "apple", "Éclair", "éclair", "10", "9", "Zoo", "zebra", "apple"]
    with database.cursor() as cursor:
        for number, title in enumerate([*titles, "_", "APPLE"]):
            cursor.execute(
                "INSERT INTO tasks (user_id, title, completed, created_at)"
                " VALUES (%s, %s, %s, timestamptz '2026-01-01Z' + %s * interval '1 microsecond')",
                [alice, title, number % 3 == 0, (number * 7) % 12 // 2],
            )
    listed: list[Task] = client.get(f"/api/{alice}/tasks").json()["tasks"]
    return sorted(listed, key=lambda task: task["id"])


def in_order(tasks: list[Task], sort: str, order: str) -> list[Task]:
    def key(task: Task) -> tuple[str, int]:
        return task["title"].lower() if sort == "title" else task["created_at"], task["id"]

    return sorted(tasks, key=key, reverse=order == "desc")


def pages(client: httpx.Client, user_id: str, **query: Any) -> Iterator[Page]:
    """Yield the pages of a list."""
    while True:
        response = client.get(f"/api/{user_id}/tasks", params=query)
        assert response.status_code == 200, response.text
        page: Page = response.json()
        assert page == {"tasks": ANY, "count": len(page["tasks"]), "next_cursor": ANY}
        yield page
        if page["next_cursor"] is None:
            return
        assert page["next_cursor"] != query.get("cursor"), "the page repeats"
        query["cursor"] = page["next_cursor"]


def test_a_user_without_tasks_has_an_empty_list(client: httpx.Client, alice: str) -> None:
    response = client.get(f"/api/{alice}/tasks")
    assert response.status_code == 200
    assert response.json() == {"tasks": [], "count": 0, "next_cursor": None}


@in_every_order
@pytest.mark.parametrize("status", ["all", "pending", "completed"])
@pytest.mark.parametrize("limit", [1, 4, 5, 1000])
def test_the_pages_together_are_the_whole_list_in_order(
    status: str,
    sort: str,
    order: str,
    limit: int,
    client: httpx.Client,
    alice: str,
    tasks: list[Task],
) -> None:
    chosen = [
        task for task in tasks if status in ("all", ["pending", "completed"][task["completed"]])
    ]
    expected = in_order(chosen, sort, order)
    query = {"status": status, "sort": sort, "order": order}
    got = list(pages(client, alice, **query, limit=limit))
    assert [page["tasks"] for page in got] == [
        expected[start : start + limit] for start in range(0, len(expected), limit)
    ]
    whole = {"tasks": expected, "count": len(expected), "next_cursor": None}
    assert client.get(f"/api/{alice}/tasks", params=query).json() == whole


@pytest.mark.parametrize(
    ("query", "sort", "order"),
    [
        ({}, "created", "desc"),
        ({"sort": "created"}, "created", "desc"),
        ({"sort": "created_at"}, "created", "desc"),
        ({"order": "asc"}, "created", "asc"),
        ({"sort": "title"}, "title", "asc"),
    ],
)
def test_the_default_order_is_newest_first_and_for_titles_a_to_z(
    query: dict[str, str],
    sort: str,
    order: str,
    client: httpx.Client,
    alice: str,
    tasks: list[Task],
) -> None:
    first, *_ = pages(client, alice, **query, limit=7)
    assert first["tasks"] == in_order(tasks, sort, order)[:7]
    named = {"sort": sort, "order": order, "cursor": first["next_cursor"]}
    rest = client.get(f"/api/{alice}/tasks", params=named).json()
    assert rest["tasks"] == in_order(tasks, sort, order)[7:]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"completed": "true"}, "completed"),
        ({"completed": "false"}, "pending"),
        ({"completed": "true", "status": "completed"}, "completed"),
        ({"completed": "false", "status": "pending"}, "pending"),
        ({"completed": "true", "status": "all"}, "completed"),
    ],
)
def test_the_parameter_completed_is_equivalent_to_a_status(
    query: dict[str, str], status: str, client: httpx.Client, alice: str, tasks: list[Task]
) -> None:
    path = f"/api/{alice}/tasks"
    written = client.get(path, params={**query, "limit": 2}).json()
    assert written == client.get(path, params={"status": status, "limit": 2}).json()
    assert {task["completed"] for task in written["tasks"]} == {status == "completed"}


@in_every_order
@pytest.mark.parametrize("status", ["all", "pending"])
def test_pages_neither_skip_nor_repeat_unchanged_tasks_while_others_change(
    status: str,
    sort: str,
    order: str,
    client: httpx.Client,
    alice: str,
    tasks: list[Task],
    create: Create,
) -> None:
    path = f"/api/{alice}/tasks"
    others = [create("apple") for _ in range(4)]
    client.patch(f"{path}/{others[0]['id']}/complete")
    staying = [task for task in tasks if status == "all" or not task["completed"]]
    seen: list[Task] = []
    for page in pages(client, alice, status=status, sort=sort, order=order, limit=3):
        seen += page["tasks"]
        assert len(seen) < 30
        create("apple")
        if others:
            other = f"{path}/{others[-1]['id']}"
            client.put(other, json={"title": str(len(seen)), "completed": len(seen) % 2 == 0})
            client.delete(f"{path}/{others.pop(0)['id']}")
    assert [task for task in seen if task in tasks] == in_order(staying, sort, order)


@in_every_order
def test_the_next_page_is_right_even_if_the_last_task_was_deleted(
    sort: str, order: str, client: httpx.Client, alice: str, tasks: list[Task]
) -> None:
    expected = in_order(tasks, sort, order)
    seen = []
    for page in pages(client, alice, sort=sort, order=order, limit=5):
        seen += page["tasks"]
        client.delete(f"/api/{alice}/tasks/{seen[-1]['id']}")
    assert seen == expected


@in_every_order
@pytest.mark.parametrize("other", ORDERS)
def test_a_cursor_is_valid_only_for_its_sort_and_order(
    sort: str,
    order: str,
    other: tuple[str, str],
    client: httpx.Client,
    alice: str,
    tasks: list[Task],
) -> None:
    page = next(pages(client, alice, sort=sort, order=order, limit=2))
    query = {"sort": other[0], "order": other[1], "cursor": page["next_cursor"]}
    response = client.get(f"/api/{alice}/tasks", params=query)
    assert response.status_code == (200 if other == (sort, order) else 400)


def test_a_cursor_gives_no_access_to_the_tasks_of_its_user(
    client: httpx.Client, alice: str, bob: str, tasks: list[Task]
) -> None:
    page = next(pages(client, alice, limit=2))
    query = {"cursor": page["next_cursor"]}
    response = client.get(f"/api/{bob}/tasks", params=query, headers=bearer(bob))
    assert response.json() == {"tasks": [], "count": 0, "next_cursor": None}


def forged(*values: Any) -> str:
    """Return a cursor of these values, as a client that knows the format could make it."""
    return urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


TIME = "2026-01-01T00:00:00.000000Z"
BAD_CURSORS: list[str] = [
    *("", "x", "=", "====", "null", "0", "' OR 1=1 --", "\0", "é", "\u0663", "-" * 5000, "W10"),
    *(forged(), forged([]), forged("created"), forged("created", "desc", TIME)),
    *(forged("created", "desc", TIME, 1, 1), forged("created", "desc", TIME, "1")),
    *(forged("created", "desc", TIME, bad) for bad in (0, -1, 2**63, 10**400, 1.0, True, None)),
    *(forged("created", "desc", bad, 1) for bad in ("", "now", "infinity", "x\0")),
    *(forged("created", "desc", 5, 1), forged("created", "desc", None, 1)),
    forged("created", "desc", "2026-02-30T00:00:00.000000Z", 1),
    # strptime accepts these, Postgres does not.
    forged("created", "desc", "2026-01- 1T00:00:00.000000Z", 1),
    forged("created", "desc", "2026-01-01T 0:00:00.000000Z", 1),
    forged("created", "desc", "2026-1-1T0:0:0.0Z", 1),
    forged("created", "desc", "2026-01-01T00:00:60.000000Z", 1),
    forged("created", "desc", "0000-01-01T00:00:00.000000Z", 1),
    forged("created", "desc", "\u0662\u0660\u0662\u0666-01-01T00:00:00.000000Z", 1),
    forged("created", "desc", "\uff12026-01-01T00:00:00.000000Z", 1),
    *(forged("title", "asc", bad, 1) for bad in ("", "\0", "x" * 201)),
    *(forged("title", "asc", 5, 1), forged("title", "asc", {}, 1)),
    *(forged("title", "asc", "x", bad) for bad in (0, 2**63, "1", False)),
    urlsafe_b64encode(b'["title","asc","\\ud800",1]').decode().rstrip("="),
    urlsafe_b64encode(b'["title","asc","\xff",1]').decode().rstrip("="),
    urlsafe_b64encode(b'["title","asc","x",NaN]').decode().rstrip("="),
    urlsafe_b64encode(b"[" * 2000).decode().rstrip("="),
]


@pytest.mark.parametrize("sort", ["created", "title"])
@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
def test_a_malformed_cursor_is_refused(
    cursor: str, sort: str, client: httpx.Client, alice: str
) -> None:
    response = client.get(f"/api/{alice}/tasks", params={"sort": sort, "cursor": cursor})
    assert response.status_code == 400, response.text
    message = "cursor must be the next_cursor of a list with this sort and order."
    assert response.json() == invalid_input(("query.cursor", message))


def test_a_time_with_any_other_character_is_no_error_of_the_service(
    client: httpx.Client, alice: str
) -> None:
    keys = [TIME[:at] + new + TIME[at + 1 :] for at in range(len(TIME)) for new in " 019-:+.TZz"]
    cursors = [forged("created", "desc", key, 1) for key in keys]
    responses = [client.get(f"/api/{alice}/tasks", params={"cursor": each}) for each in cursors]
    assert {response.status_code for response in responses} == {200, 400}


@pytest.mark.parametrize("sort", ["created", "title"])
def test_a_modified_cursor_is_refused(
    sort: str, client: httpx.Client, alice: str, tasks: list[Task]
) -> None:
    cursor = next(pages(client, alice, sort=sort, limit=2))["next_cursor"]
    for bad in (cursor[:-2], cursor[1:], cursor + "A", cursor + "=", f" {cursor}", cursor * 2):
        response = client.get(f"/api/{alice}/tasks", params={"sort": sort, "cursor": bad})
        assert response.status_code == 400, bad


@pytest.mark.parametrize(
    "title", ["😀" * 200, "\x01" * 199 + "x", '"\\' * 100, "İ" * 200, "ẞß", "x" * 200]
)
def test_a_cursor_works_for_any_title(
    title: str, client: httpx.Client, alice: str, create: Create
) -> None:
    created = [create(title) for _ in range(3)]
    got = [page["tasks"] for page in pages(client, alice, sort="title", limit=1)]
    assert got == [[task] for task in created]


@pytest.mark.parametrize(("sort", "order"), [("created", "desc"), ("title", "asc")])
@pytest.mark.parametrize("count", [250, 251, 1000, 2500])
def test_a_whole_list_contains_every_task(
    count: int, sort: str, order: str, client: httpx.Client, alice: str, database: Connection
) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks (user_id, title, created_at)"
            " SELECT %s, md5(n::text), now() - (n / 7) * interval '1 s'"
            " FROM generate_series(1, %s) AS n",
            [alice, count],
        )
        cursor.execute("SELECT id FROM tasks WHERE user_id = %s", [alice])
        ids = {row[0] for row in cursor}
    response = client.get(f"/api/{alice}/tasks", params={"sort": sort, "order": order})
    tasks: list[Task] = response.json()["tasks"]
    assert response.json() == {"tasks": tasks, "count": count, "next_cursor": None}
    assert tasks == in_order(tasks, sort, order)
    assert {task["id"] for task in tasks} == ids
    assert response.headers["content-type"] == "application/json"
    assert (response.headers.get("transfer-encoding") == "chunked") == (count >= 1000)
    head = client.head(f"/api/{alice}/tasks", params={"sort": sort, "order": order})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == "application/json"
    assert head.headers.get("content-length") == response.headers.get("content-length")
    assert "transfer-encoding" not in head.headers


@pytest.mark.parametrize("left", [0, 1])
def test_a_whole_list_is_valid_json_even_if_its_end_is_deleted_meanwhile(
    left: int, postgres: URL, client: httpx.Client, alice: str, create: Create
) -> None:
    tasks = [create() for _ in range(3)]

    async def read() -> bytes:
        database, query = Database(postgres, 1), TaskQuery(order="asc")
        session = database.session()
        first = await read_page(session, alice, query, None, 1)
        parts = list_json(session, Admission(1, 1), alice, query, first)
        text = await anext(parts)
        for task in tasks[1 + left :]:
            await asyncio.to_thread(client.delete, f"/api/{alice}/tasks/{task['id']}")
        text += b"".join([part async for part in parts])
        await database.close()
        return text

    whole = {"tasks": tasks[: 1 + left], "count": 1 + left, "next_cursor": None}
    assert json.loads(asyncio.run(read())) == whole
