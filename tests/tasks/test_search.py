"""Search: a list with `q` contains the right tasks, in every script and on every page."""

import random
import socket
import unicodedata
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection

Create = Callable[..., dict[str, Any]]


def found(client: httpx.Client, user_id: str, q: str, **others: Any) -> list[str]:
    response = client.get(f"/api/{user_id}/tasks", params={"q": q, "order": "asc", **others})
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()["tasks"]]


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("Buy milk", "MILK"),
        ("Buy milk", "y m"),
        ("Buy milk", "  milk\t"),
        ("ÄRGER", "ärger"),
        ("straẞe", "STRAßE"),
        ("ПРИВЕТ", "привет"),
        ("ΟΔΟΣ", "οδος"),
        ("οδοσ", "ΟΔΟΣ"),
        ("ὈΔΟΣ", "ὀδος"),
        ("\uff26\uff35 \uff57", "\uff46\uff55 \uff37"),  # full width
        ("ԵՐԵՎԱՆ", "երեվան"),
        ("𐐀 Deseret", "𐐨"),
        ("273 \u212a", "273 k"),
        ("買い物", "い物"),
        ("قائمة", "ائم"),
        ("cafe\u0301", "fe\u0301"),
        ("🥛 milk", "🥛"),
        ("100% of a_b\\c", "% of A_B\\C"),
        ("a'b\"c", "'B\""),
        ("$1 :q %(q)s", "%(Q)s"),
        ("x\u200dy", "\u200d"),
    ],
)
@pytest.mark.parametrize("field", ["title", "description"])
def test_a_task_that_contains_q_is_found_whatever_its_case(
    field: str, text: str, q: str, client: httpx.Client, alice: str, create: Create
) -> None:
    create(**{"title": "other", field: text})
    create("other", description="nothing")
    [task] = client.get(f"/api/{alice}/tasks", params={"q": q}).json()["tasks"]
    assert task[field] == text


@pytest.mark.parametrize(
    "q", ["%", "_", "%k", "m_lk", "\\", "\\m", "mi%k", ".*", "milk$", "m|x", "milk two", "\ufffd"]
)
def test_no_character_has_a_special_meaning(
    q: str, client: httpx.Client, alice: str, create: Create
) -> None:
    create("milk", description="two")
    assert found(client, alice, q) == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("q=", "q must not be blank."),
        ("q=%20%09%0A", "q must not be blank."),
        ("q=%C2%A0%E2%80%83", "q must not be blank."),
        ("q=%1C%85", "q must be percent-encoded UTF-8."),
        ("q=%1C%1F", "q must not be blank or contain a NUL character."),
        ("q=a%00b", "q must not be blank or contain a NUL character."),
        ("q=" + "x" * 201, "q must have at most 200 characters."),
        ("q=a&q=b", "q must be sent only once."),
        ("q=%ED%A0%80", "q must be percent-encoded UTF-8."),
        ("q=%FF", "q must be percent-encoded UTF-8."),
        ("q=a%E2%82", "q must be percent-encoded UTF-8."),
    ],
)
def test_an_invalid_q_is_refused(query: str, detail: str, client: httpx.Client, alice: str) -> None:
    response = client.get(f"/api/{alice}/tasks?{query}")
    body = response.json()
    assert (response.status_code, body["detail"]) == (400, detail)
    assert [error["field"] for error in body["errors"]] == ["query.q"]


def test_the_limit_of_q_counts_characters_and_not_bytes(
    client: httpx.Client, alice: str, create: Create
) -> None:
    create("🥛" * 200)
    assert found(client, alice, " " + "🥛" * 200 + " ") == ["🥛" * 200]


def test_unencoded_bytes_in_q_are_refused(client: httpx.Client, alice: str) -> None:
    head = f"GET /api/{alice}/tasks?q=é HTTP/1.0\r\nHost: tasks\r\n"
    head += f"Authorization: {client.headers['Authorization']}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as peer:
        peer.sendall(head.encode())
        response = peer.makefile("rb").read()
    assert response.startswith(b"HTTP/1.1 400 ")


TITLES = ["Tea", "TEA", "tea 2", "Steak", "coffee", "green TEA", "Éclair", "éclair tea", "x", "y"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created", "title"])
@pytest.mark.parametrize("status", ["all", "pending", "completed"])
def test_pages_of_a_search_neither_skip_nor_repeat_tasks(
    status: str, sort: str, order: str, client: httpx.Client, alice: str, create: Create
) -> None:
    """The pages are compared with the same search in Python, for several page sizes."""
    numbers = random.Random(5)
    for number, title in enumerate(TITLES * 2):
        create(title, description=numbers.choice([None, "tea", "COFFEE"]), completed=number % 3 < 1)
    path = f"/api/{alice}/tasks"
    query: dict[str, Any] = {"status": status, "sort": sort, "order": order}
    everything = client.get(path, params=query).json()["tasks"]
    for q in ("tea", "É", "o", "none"):
        expected = [
            task
            for task in everything
            if any(q.lower() in (task[name] or "").lower() for name in ("title", "description"))
        ]
        for limit in (None, 1, 3, 1000):
            got: list[Any] = []
            page: dict[str, Any] = {"next_cursor": None}
            while not got or page["next_cursor"]:
                wanted: dict[str, Any] = {
                    **query,
                    "q": q,
                    "limit": limit,
                    "cursor": page["next_cursor"],
                }
                sent = {name: value for name, value in wanted.items() if value is not None}
                page = client.get(path, params=sent).json()
                assert page["count"] == len(page["tasks"]) <= (limit or 1000)
                got += page["tasks"]
                if not page["tasks"]:
                    break
            assert got == expected


def test_a_cursor_is_valid_for_another_search(
    client: httpx.Client, alice: str, create: Create
) -> None:
    for title in ("a1", "b1", "a2", "b2"):
        create(title)
    query: dict[str, Any] = {"order": "asc", "limit": 1}
    page = client.get(f"/api/{alice}/tasks", params={**query, "q": "a"}).json()
    assert found(client, alice, "b", cursor=page["next_cursor"]) == ["b1", "b2"]


def test_a_search_without_a_limit_returns_every_match(
    client: httpx.Client, alice: str, database: Connection
) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks (user_id, title, description)"
            " SELECT %s, n, CASE WHEN n %% 2 = 0 THEN 'Even' END"
            " FROM generate_series(1, 5000) AS n",
            [alice],
        )
    got = found(client, alice, "EVEN")
    assert got == [str(number) for number in range(2, 5001, 2)]


def test_upper_and_lower_case_of_every_letter_match(database: Connection) -> None:
    """Up to three pairs of letters, from newer versions of Unicode, may not match."""
    pairs = [
        (chr(code), chr(code).casefold())
        for code in range(0x80, 0x110000)
        if unicodedata.category(chr(code)) in ("Lu", "Ll", "Lt")
        and len(chr(code).casefold()) == 1
        and chr(code).casefold() != chr(code)
    ]
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum((upper(lower(a)) = upper(lower(b)))::int)"
            " FROM unnest(%s, %s) AS pairs (a, b)",
            [[a for a, _ in pairs], [b for _, b in pairs]],
        )
        [(number, equal)] = cursor.fetchall()
    assert number > 1300
    assert number - equal <= 3


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(q=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9))
def test_any_text_finds_a_task_that_contains_it(q: str, client: httpx.Client, alice: str) -> None:
    path = f"/api/{alice}/tasks"
    title = f"a{q}b"
    made = client.post(path, json={"title": title}).json()
    response = client.get(path, params={"q": q})
    if response.status_code == 400:
        assert response.json()["detail"].startswith("q must not be blank")
    else:
        assert made in response.json()["tasks"]
    client.delete(f"{path}/{made['id']}")
