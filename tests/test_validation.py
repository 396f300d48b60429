"""What is refused with 400, by which field, and that nothing of it is echoed."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote

import httpx
import pytest

Send = Callable[..., httpx.Response]
Create = Callable[..., dict[str, Any]]

MARK = "0f8fad5bd9cb469fa165"  # stands for what a caller would not like to see again
SPACES = "\t\n\v\f\r \x85\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
JSON = {"Content-Type": "application/json"}


def assert_refused(response: httpx.Response, *fields: str) -> None:
    errors = [{"field": field, "message": ANY} for field in fields]
    assert response.status_code == 400, response.text
    assert response.json() == {
        "detail": "The request breaks a rule; see errors.",
        "code": "VALIDATION_ERROR",
        "errors": errors,
    }
    assert all(error["message"] for error in response.json()["errors"])
    assert MARK not in response.text + str(response.headers)


@pytest.fixture(params=["POST", "PUT"])
def send(
    request: pytest.FixtureRequest, client: httpx.Client, alice: str, create: Create
) -> Iterator[Send]:
    """Sends a body to create a task or to update one; a refused body has changed nothing."""
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
def test_completion_is_true_or_false(
    completed: Any, client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    path = f"/api/{alice}/tasks/{task['id']}"
    assert_refused(client.put(path, json={"completed": completed}), "body.completed")
    assert client.get(path).json() == task


def test_a_new_task_needs_a_title(client: httpx.Client, alice: str) -> None:
    assert_refused(client.post(f"/api/{alice}/tasks", json={}), "body.title")


def test_everything_that_is_wrong_is_told_at_once(send: Send) -> None:
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
        b'{"title": "\\ud800"}',
        b'{"title": "x\\udc00\\ud800"}',
        b'{"title": "x", "\\ud800": 1}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\xff"}',
        b'\xef\xbb\xbf{"title": "x"}',
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
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", MARK],
)
def test_a_body_that_is_not_called_json_is_refused(send: Send, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = send(content=b'{"title": "x"}', headers=headers)
    assert_refused(response, "body")
    assert "application/json" in response.json()["errors"][0]["message"]


def test_json_may_name_its_charset(send: Send) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert send(content=b'{"title": "x"}', headers=headers).status_code in (200, 201)


@pytest.mark.parametrize(
    "task_id",
    [
        *("0", "-1", str(2**63), str(-(2**63) - 1), "9" * 40, "9" * 5000, "1.0", "1e3", "0x1"),
        *("1_0", " 1", "1 ", "+1", "\u0663", "1\0", "NaN", "null", "true", MARK, "1;" + MARK),
    ],
)
@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")]
)
def test_an_id_that_is_not_a_positive_64_bit_integer_is_refused(
    method: str, end: str, task_id: str, client: httpx.Client, alice: str
) -> None:
    path = f"/api/{alice}/tasks/{quote(task_id)}{end}"
    body = {"title": "x"} if method == "PUT" else None
    assert_refused(client.request(method, path, json=body), "path.task_id")


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", value) for value in ("", "done", "ALL", "all,pending", MARK)]
    + [("sort", value) for value in ("", "updated", "Title", "title;--", MARK)]
    + [("order", value) for value in ("", "up", "DESC", "asc asc", MARK)]
    + [("limit", value) for value in ("", "0", "-1", "1001", str(2**63), "9" * 5000)]
    + [("limit", value) for value in ("1.0", "1e2", " 1", "+1", "1_0", "\u0663", "true", MARK)],
)
def test_a_query_that_breaks_a_rule_is_refused(
    name: str, value: str, client: httpx.Client, alice: str
) -> None:
    response = client.get(f"/api/{alice}/tasks", params={name: value})
    assert_refused(response, f"query.{name}")


def test_an_unknown_query_parameter_is_ignored(client: httpx.Client, alice: str) -> None:
    response = client.get(f"/api/{alice}/tasks", params={"page": MARK, "offset": "5"})
    assert (response.status_code, response.json()["count"]) == (200, 0)


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
def test_without_a_good_token_a_malformed_request_is_a_401(
    request_: dict[str, Any], authorization: str, code: str, anonymous: httpx.Client, alice: str
) -> None:
    request_ = {**request_, "url": f"/api/{alice}/tasks{request_['url']}"}
    headers = {**request_.pop("headers", {}), "Authorization": authorization}
    response = anonymous.request(**request_, headers=headers)
    assert response.status_code == 401
    assert response.json() == {"detail": ANY, "code": code}
