"""Invalid input is a 400 that names the field and does not repeat any part of the value."""

import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote

import httpx
import pytest

from errors.faults import MAX_DETAIL, MAX_ERRORS
from routing.parameters import MAX_PARAMETERS
from schemas import TaskQuery
from tasks.pagination import Position, encode_cursor
from tests.support.responses import invalid_input

Send = Callable[..., httpx.Response]
Create = Callable[..., dict[str, Any]]

MARK = "0f8fad5bd9cb469fa165"  # stands for text that a response must not repeat
SPACES = "\t\n\v\f\r \x85\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
JSON = {"Content-Type": "application/json"}
# A cursor before every task.
FIRST_PAGE = encode_cursor(Position("2100-01-01T00:00:00.000000Z", 1), TaskQuery())


def assert_refused(response: httpx.Response, *fields: str) -> None:
    assert response.status_code == 400, response.text
    messages = [error["message"] for error in response.json()["errors"]]
    body = invalid_input(*zip(fields, messages, strict=True))
    if len(str(body["detail"])) > MAX_DETAIL or len(fields) == MAX_ERRORS:
        body["detail"] = response.json()["detail"]
        assert re.fullmatch(r"\S+ (is|must) .*\. There are more errors\.", str(body["detail"]))
    assert response.json() == body
    for field, message in zip(fields, messages, strict=True):
        subject = field.partition(".")[2] or f"The {field}"
        assert re.fullmatch(rf"{subject} (must|is|has) [^<>]+\.", message)
    assert MARK not in response.text + str(response.headers)


@pytest.fixture(params=["POST", "PUT"])
def send(
    request: pytest.FixtureRequest, client: httpx.Client, alice: str, create: Create
) -> Iterator[Send]:
    """A function that creates or updates a task. At the end, check that refusals had no effect."""
    path = f"/api/{alice}/tasks"
    task = create("As it was", description="As it was")

    def send(**body: Any) -> httpx.Response:
        where = path if request.param == "POST" else f"{path}/{task['id']}"
        return client.request(request.param, where, **body)

    yield send
    tasks = client.get(path).json()["tasks"]
    assert task in tasks or tasks[0]["updated_at"] > task["updated_at"]


@pytest.mark.parametrize("title", ["x", "x" * 200, "😀" * 200, "e\u0301" * 100, "\u200b"])
@pytest.mark.parametrize("around", ["", SPACES])
def test_a_title_of_200_characters_is_accepted(send: Send, title: str, around: str) -> None:
    response = send(json={"title": around + title + around})
    assert response.status_code in (200, 201), response.text
    assert response.json()["title"] == title


@pytest.mark.parametrize("description", ["", " \n ", "x" * 1000, "😀" * 1000, "e\u0301" * 500])
def test_a_description_of_1000_characters_is_accepted(send: Send, description: str) -> None:
    response = send(json={"title": "x", "description": description})
    assert response.status_code in (200, 201), response.text
    assert response.json()["description"] == description


@pytest.mark.parametrize(
    "title",
    [
        *(
            "",
            " ",
            SPACES,
            "\x1c\x1f",
            "x" * 201,
            "😀" * 201,
            "e\u0301" * 100 + "x",
            "\0",
            "a\0b",
            "a\0",
        ),
        *(None, 5, 1.5, True, [MARK], {MARK: MARK}, MARK * 11),
    ],
)
def test_a_title_that_breaks_a_rule_is_refused(send: Send, title: Any) -> None:
    assert_refused(send(json={"title": title}), "body.title")


@pytest.mark.parametrize(
    "description",
    ["x" * 1001, "😀" * 1001, "e\u0301" * 500 + "x", "\0", "a\0b", 5, False, [MARK], {}, MARK * 51],
)
def test_a_description_that_breaks_a_rule_is_refused(send: Send, description: Any) -> None:
    assert_refused(send(json={"title": "x", "description": description}), "body.description")


@pytest.mark.parametrize("completed", [None, 0, 1, "true", "on", MARK, [], {}])
@pytest.mark.parametrize(
    ("method", "end"),
    [("POST", ""), ("PUT", "/{id}"), ("PATCH", "/{id}"), ("PATCH", "/{id}/complete")],
)
def test_completed_must_be_true_or_false(
    method: str, end: str, completed: Any, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    path = f"/api/{alice}/tasks{end.format(id=task['id'])}"
    body = {"title": "x", "completed": completed}
    assert_refused(client.request(method, path, json=body), "body.completed")
    assert client.get(f"/api/{alice}/tasks").json()["tasks"] == [task]


def test_a_new_task_needs_a_title(client: httpx.Client, alice: str) -> None:
    assert_refused(client.post(f"/api/{alice}/tasks", json={}), "body.title")


def test_one_response_reports_every_error(send: Send) -> None:
    response = send(json={"title": " ", "description": 5, "completed": True})
    assert_refused(response, "body.title", "body.description")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"title"',
        b"5",
        b"{",
        b'{"title": "x"',
        b'{"title": "x",}',
        b"{'title': 'x'}",
        b'{"title": "x"} {}',
        b'{"title": NaN}',
        b'{"title": "x", "description": Infinity}',
        b'{"title": "x", "other": -Infinity}',
        b'{"title": "x", "other": NaN}',
        b'{"title": "x", "\\ud800": 1}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\xff"}',
        b"\xef\xbb\xbf",
        b'\xef\xbb\xbf\xef\xbb\xbf{"title": "x"}',
        b'{"title": "\\ud83d\\ude00", "other": NaN}',
        b'{"title": "\\ud800"',
        b'["\\ud800"]',
        b'{"title": "x", "not for display": "\\ud800"}',
        '{"title": "x"}'.encode("utf-16"),
        b"[" * 50_000,
        b'{"title":' * 7_000,
        b'{"title": ' + MARK.encode() + b"}",
        MARK.encode(),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(send: Send, content: bytes) -> None:
    assert_refused(send(content=content, headers=JSON), "body")


@pytest.mark.parametrize(
    "text", [b"\\ud83d", b"\\uD83D", b"\\udc00", b"x\\udc00\\ud800", b"\\ud83d\\n\\ude00"]
)
def test_the_error_about_a_lone_surrogate_names_its_field(send: Send, text: bytes) -> None:
    content = b'{"title": "%b", "description": "%b", "completed": 1}' % (text, text)
    assert_refused(send(content=content, headers=JSON), "body.title", "body.description")
    content = b'{"title": "x", "description": "%b"}' % text
    assert_refused(send(content=content, headers=JSON), "body.description")
    content = b'{"title": "x", "other": ["%b"]}' % text
    assert_refused(send(content=content, headers=JSON), "body.other")


def test_a_surrogate_pair_is_one_character(send: Send) -> None:
    response = send(content=b'{"title": "\\ud83d\\ude00"}', headers=JSON)
    assert response.json()["title"] == "\U0001f600"


def test_a_byte_order_mark_is_skipped(send: Send) -> None:
    response = send(content=b'\xef\xbb\xbf{"title": "\xef\xbb\xbfx"}', headers=JSON)
    assert response.status_code in (200, 201), response.text
    assert response.json()["title"] == "\ufeffx"


@pytest.mark.parametrize(
    ("coding", "named"),
    [
        ("gzip", "gzip"),
        ("BR", "BR"),
        ("x-gzip", "x-gzip"),
        ("identity, gzip", "gzip"),
        ("gzip,br", "gzip, br"),
        ("<script>", ""),
        ("gzip, <script>", ""),
        ("x" * 41, ""),
    ],
)
def test_a_compressed_body_is_a_415_that_names_the_coding(
    send: Send, coding: str, named: str
) -> None:
    for content in (b'{"title": "x"}', gzip.compress(b'{"title": "x"}')):
        response = send(content=content, headers={"Content-Encoding": coding, **JSON})
        assert response.status_code == 415
        has = f"has Content-Encoding: {named}" if named else "has a Content-Encoding"
        detail = f"The body {has}; send it without one."
        assert response.json() == {"detail": detail, "code": "UNSUPPORTED_MEDIA_TYPE"}
        assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity", ","])
def test_content_encoding_identity_is_accepted(send: Send, coding: str) -> None:
    response = send(content=b'{"title": "x"}', headers={"Content-Encoding": coding, **JSON})
    assert response.status_code in (200, 201)


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", MARK],
)
def test_a_body_without_a_json_content_type_is_refused(
    send: Send, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = send(content=b'{"title": "x"}', headers=headers)
    assert_refused(response, "body")
    assert "application/json" in response.json()["errors"][0]["message"]


def test_a_json_content_type_may_have_a_charset(send: Send) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert send(content=b'{"title": "x"}', headers=headers).status_code in (200, 201)


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"true", JSON),
        (b"[]", JSON),
        (b"{", JSON),
        (b'{"completed": NaN}', JSON),
        (b'{"completed": true}', {}),
        (b"completed=true", {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_the_body_of_complete_must_be_a_json_object(
    content: bytes, headers: dict[str, str], client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    path = f"/api/{alice}/tasks/{task['id']}"
    assert_refused(client.patch(f"{path}/complete", content=content, headers=headers), "body")
    assert client.get(path).json() == task


@pytest.mark.parametrize(
    "task_id",
    [
        *("0", "-1", str(2**63), str(-(2**63) - 1), "9" * 40, "9" * 5000, "1.0", "1e3", "0x1"),
        *("1_0", " 1", "1 ", "+1", "\u0663", "1\0", "NaN", "null", "true", MARK, "1;" + MARK),
    ],
)
@pytest.mark.parametrize(
    ("method", "end"),
    [("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("PATCH", "/complete")],
)
def test_an_id_that_is_not_a_positive_64_bit_integer_is_refused(
    method: str, end: str, task_id: str, client: httpx.Client, alice: str
) -> None:
    path = f"/api/{alice}/tasks/{quote(task_id)}{end}"
    body = {"title": "x"} if method in ("PUT", "PATCH") else None
    assert_refused(client.request(method, path, json=body), "path.task_id")


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", value) for value in ("", "done", "ALL", "all,pending", MARK)]
    + [("sort", value) for value in ("", "updated", "Title", "title;--", MARK)]
    + [("order", value) for value in ("", "up", "DESC", "asc asc", MARK)]
    + [("completed", value) for value in ("", "1", "0", "yes", "True", "all", MARK)]
    + [("limit", value) for value in ("", "0", "-1", "1001", str(2**63), "9" * 5000)]
    + [("limit", value) for value in ("1.0", "1e2", " 1", "+1", "1_0", "\u0663", "true", MARK)],
)
def test_a_query_that_breaks_a_rule_is_refused(
    name: str, value: str, client: httpx.Client, alice: str
) -> None:
    response = client.get(f"/api/{alice}/tasks", params={name: value})
    assert_refused(response, f"query.{name}")


@pytest.mark.parametrize("status", ["pending", "completed"])
def test_contradictory_status_and_completed_are_refused(
    status: str, client: httpx.Client, alice: str
) -> None:
    for order in (1, -1):
        query = [("status", status), ("completed", str(status == "pending").lower())]
        response = client.get(f"/api/{alice}/tasks", params=dict(query[::order]))
        assert_refused(response, "query.completed")


@pytest.mark.parametrize("name", ["page", "offset", "per_page", "Status", "x-y", "x" * 40])
@pytest.mark.parametrize("value", ["", "2", MARK])
def test_the_list_names_an_unknown_parameter(
    name: str, value: str, client: httpx.Client, alice: str
) -> None:
    response = client.get(f"/api/{alice}/tasks", params={"limit": 0, name: value})
    assert_refused(response, "query.limit", f"query.{name}")
    message = response.json()["errors"][1]["message"]
    assert all(known in message for known in TaskQuery.model_fields)


@pytest.mark.parametrize("name", ["", "a b", "status[]", "<b>", "ä", "a.b", "x" * 41, "\n", "\0"])
def test_an_unknown_parameter_with_a_strange_name_is_not_named(
    name: str, client: httpx.Client, alice: str
) -> None:
    response = client.get(f"/api/{alice}/tasks", params={name: "1"})
    assert_refused(response, "query")
    assert not name or name not in response.text


def test_only_the_first_of_many_unknown_parameters_are_named(
    client: httpx.Client, alice: str
) -> None:
    names = [f"p{number}" for number in range(8000)]
    path = f"/api/{alice}/tasks"
    some = client.get(f"{path}?{'&'.join(names[:MAX_PARAMETERS])}")
    assert_refused(some, *(f"query.{name}" for name in names[:MAX_ERRORS]))
    for many in (names, ["limit=1"] * 8000, [""] * 8000):
        assert_refused(client.get(f"{path}?{'&'.join(many)}"), "query")


@pytest.mark.parametrize("name", [*TaskQuery.model_fields, "_"])
def test_a_parameter_that_is_sent_twice_is_refused(
    name: str, client: httpx.Client, alice: str
) -> None:
    values = {"limit": "1", "cursor": FIRST_PAGE, "completed": "true"}
    value = values.get(name, {"sort": "title", "order": "desc"}.get(name, "all"))
    path = f"/api/{alice}/tasks"
    assert client.get(path, params=[(name, value)]).status_code == 200
    assert_refused(client.get(path, params=[(name, value)] * 2), f"query.{name}")


def test_the_query_may_repeat_the_user_id_and_have_a_cache_buster(
    client: httpx.Client, alice: str
) -> None:
    path = f"/api/{alice}/tasks"
    tolerated = client.get(path, params={"user_id": alice, "_": "1767950000000", "limit": "1"})
    assert (tolerated.status_code, tolerated.json()["count"]) == (200, 0)
    for other in ("bob", ""):
        assert_refused(client.get(path, params={"user_id": other}), "query.user_id")


def test_other_operations_ignore_unknown_parameters(
    client: httpx.Client, alice: str, create: Create
) -> None:
    path = f"/api/{alice}/tasks/{create()['id']}"
    for method, end in (("GET", ""), ("PUT", ""), ("PATCH", ""), ("PATCH", "/complete")):
        body: dict[str, Any] | None = None if method == "GET" else {}
        response = client.request(method, f"{path}{end}?page=1&page=2&status=", json=body)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST", "url": "", "content": b"{", "headers": JSON},
        {"method": "POST", "url": "", "json": {"title": ""}},
        {"method": "POST", "url": "", "content": b"x" * 70_000},
        {"method": "GET", "url": "?limit=0"},
        {"method": "GET", "url": "?cursor=x"},
        {"method": "GET", "url": "/x"},
        {"method": "PUT", "url": "/0", "content": b"\xff"},
        {"method": "DELETE", "url": f"/{2**63}"},
        {"method": "PATCH", "url": "/x/complete"},
    ],
)
@pytest.mark.parametrize(
    ("authorization", "code"), [("", "NOT_AUTHENTICATED"), ("Bearer x.y.z", "INVALID_TOKEN")]
)
def test_without_a_valid_token_a_malformed_request_is_a_401(
    request_: dict[str, Any], authorization: str, code: str, anonymous: httpx.Client, alice: str
) -> None:
    request_ = {**request_, "url": f"/api/{alice}/tasks{request_['url']}"}
    headers = {**request_.pop("headers", {}), "Authorization": authorization}
    response = anonymous.request(**request_, headers=headers)
    assert response.status_code == 401
    assert response.json() == {"detail": ANY, "code": code}
