"""The complete error bodies that the six operations return for invalid input."""

import json
import re
from typing import Any

import httpx
import pytest

from config import ROOT
from tests.support.responses import invalid_input

JSON = {"Content-Type": "application/json"}
TASK_ID = "task_id must be a whole number from 1 to 9223372036854775807."
LIMIT = "limit must be a whole number from 1 to 1000."
CURSOR = "cursor must be the next_cursor of a list with this sort and order."
PARAMETERS = "the parameters are status, completed, sort, order, q, limit, cursor"
NO_TASK_ID = ("path.task_id", TASK_ID)
BLANK = ("body.title", "title must not be blank.")
NUL = "must not be blank or contain a NUL character."
TEXT = ("body.description", "description must be text.")
COMPLETED = ("body.completed", "completed must be true or false.")

BODIES: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"title": "x" * 201}, [("body.title", "title must have at most 200 characters.")]),
    ({"title": ""}, [BLANK]),
    ({"title": " \t"}, [BLANK]),
    ({"title": "a\0"}, [("body.title", f"title {NUL}")]),
    ({"title": 5}, [("body.title", "title must be text.")]),
    ({"title": "x", "description": 5}, [TEXT]),
    (
        {"title": "x", "description": "x" * 1001},
        [("body.description", "description must have at most 1000 characters.")],
    ),
    (
        {"title": "x", "description": "\0"},
        [("body.description", "description must not contain a NUL character.")],
    ),
    ({"title": " ", "description": 5}, [BLANK, TEXT]),
    ({"title": "x", "completed": "yes"}, [COMPLETED]),
    ([], [("body", "The body must be a JSON object.")]),
]
QUERIES = [
    ("limit=0", [("query.limit", LIMIT)]),
    ("limit=1001", [("query.limit", LIMIT)]),
    ("limit=x", [("query.limit", LIMIT)]),
    ("status=done", [("query.status", "status must be all, pending or completed.")]),
    ("order=up", [("query.order", "order must be asc or desc.")]),
    ("cursor=x", [("query.cursor", CURSOR)]),
    ("completed=1", [("query.completed", "completed must be true or false.")]),
    (
        "completed=true&status=pending",
        [("query.completed", "completed must not contradict status.")],
    ),
    ("limit=1&limit=2", [("query.limit", "limit must be sent only once.")]),
    ("page=2", [("query.page", f"page is unknown; {PARAMETERS}.")]),
    ("a.b=2&%3Cb%3E=1", [("query", f"The query has a name that is unknown; {PARAMETERS}.")]),
    ("cursor=", [("query.cursor", CURSOR)]),
    (f"cursor={'x' * 5000}", [("query.cursor", CURSOR)]),
    ("order=up&limit=", [("query.order", "order must be asc or desc."), ("query.limit", LIMIT)]),
]


def assert_refused(response: httpx.Response, *errors: tuple[str, str]) -> None:
    assert (response.status_code, response.json()) == (400, invalid_input(*errors))


@pytest.mark.parametrize(("body", "errors"), BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(("method", "end"), [("POST", ""), ("PUT", "/1")])
def test_an_invalid_body_is_refused_with_its_errors(
    client: httpx.Client,
    alice: str,
    method: str,
    end: str,
    body: Any,
    errors: list[tuple[str, str]],
) -> None:
    assert_refused(client.request(method, f"/api/{alice}/tasks{end}", json=body), *errors)


def test_the_example_in_the_documentation_is_a_real_response(
    client: httpx.Client, alice: str
) -> None:
    [example] = re.findall(
        r"```json\n(\{\s+\"detail\".*?)```",
        (ROOT / "docs/reference/errors.md").read_text(),
        re.DOTALL,
    )
    task = {"title": "", "description": "x" * 1001}
    response = client.post(f"/api/{alice}/tasks", json=task)
    assert response.json() == json.loads(example)


def test_a_body_without_a_title_is_refused(client: httpx.Client, alice: str) -> None:
    response = client.post(f"/api/{alice}/tasks", json={})
    assert_refused(response, ("body.title", "title is required."))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The body must not be empty."),
        ('{"title": milk}', "The body is not valid JSON (line 1, column 11)."),
        ('{"title": "Milk"\n "more": 1}', "The body is not valid JSON (line 2, column 2)."),
        ('{"title": "\\ud800"}', "title must be valid Unicode, without half of a surrogate pair."),
        ("[" * 50_000, "The body is nested too deeply (line 1, column 202)."),
    ],
    ids=["empty", "word", "line", "surrogate", "depth"],
)
def test_malformed_json_is_refused_with_the_reason(
    client: httpx.Client, alice: str, content: str, message: str
) -> None:
    response = client.post(f"/api/{alice}/tasks", content=content, headers=JSON)
    field = "body.title" if message.startswith("title") else "body"
    assert_refused(response, (field, message))


def test_a_body_without_a_json_content_type_is_refused(client: httpx.Client, alice: str) -> None:
    response = client.post(f"/api/{alice}/tasks", content="title=Milk")
    needed = "The body must be sent with Content-Type: application/json"
    assert_refused(response, ("body", f"{needed}, but has no Content-Type."))


@pytest.mark.parametrize(("query", "errors"), QUERIES, ids=range(len(QUERIES)))
def test_an_invalid_query_is_refused_with_its_errors(
    client: httpx.Client, alice: str, query: str, errors: list[tuple[str, str]]
) -> None:
    assert_refused(client.get(f"/api/{alice}/tasks?{query}"), *errors)


@pytest.mark.parametrize("task_id", ["0", "x", str(2**63)])
def test_an_invalid_id_is_refused(client: httpx.Client, alice: str, task_id: str) -> None:
    assert_refused(client.get(f"/api/{alice}/tasks/{task_id}"), NO_TASK_ID)


def test_faults_in_path_body_and_headers_are_reported_together(
    client: httpx.Client, alice: str
) -> None:
    key = (
        "header.If-Match",
        'If-Match must be * or a list of entity tags, each in quotes: "…", "…".',
    )
    response = client.put(
        f"/api/{alice}/tasks/0", json={"title": "", "completed": 1}, headers={"If-Match": "x"}
    )
    assert_refused(response, NO_TASK_ID, BLANK, COMPLETED, key)
