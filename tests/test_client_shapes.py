"""Requests in the forms that real clients send: browsers, mobile apps, scripts, generated code.

Alice, who has one task, `Buy milk`, sends each request. The service either does what the client
means or returns an error that says what to change. It never ignores a part of a request silently.
"""

import gzip
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import ANY

import httpx
import pytest

from schemas import TaskResponse

Create = Callable[..., dict[str, Any]]
Body = Any

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JAVA = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    **JSON,
}
BOM = b"\xef\xbb\xbf"
TASKS, TASK = "/api/{user}/tasks", "/api/{user}/tasks/{task}"
COMPLETE = TASK + "/complete"
# A whole task, as a frontend sends it back after a change.
WHOLE = {
    "id": 5,
    "user_id": "someone",
    "title": "Buy oat milk",
    "description": "Two litres",
    "completed": True,
    "created_at": "2026-01-09T12:30:45.123456Z",
    "updated_at": "2026-01-09T12:30:45.123456Z",
}


class Shape(NamedTuple):
    """A request, and the status and the whole body of its response."""

    method: str
    path: str
    status: int
    body: Body
    options: dict[str, Any]


def shape(method: str, path: str, status: int, body: Body, **options: Any) -> Shape:
    return Shape(method, path, status, body, options)


def task(**changes: Any) -> dict[str, Any]:
    """Return the expected body of alice's task, with `changes`."""
    own: dict[str, Any] = dict.fromkeys(TaskResponse.model_fields, ANY)
    own |= {"title": "Buy milk", "description": None, "completed": False}
    assert changes.keys() <= own.keys()
    return {**own, **changes}


def tasks(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"tasks": list(listed), "count": len(listed), "next_cursor": None}


def invalid(*fields: str) -> dict[str, Any]:
    errors = [{"field": field, "message": ANY} for field in fields]
    return {"detail": ANY, "code": "VALIDATION_ERROR", "errors": errors}


def error(code: str) -> dict[str, Any]:
    return {"detail": ANY, "code": code}


NEW = {"title": "Tea"}
TEA = task(title="Tea")

LISTS = {
    "fetch without options": shape("GET", TASKS, 200, tasks(task())),
    "axios": shape(
        "GET", TASKS, 200, tasks(task()), headers={"Accept": "application/json, text/plain, */*"}
    ),
    "Content-Type without a body": shape("GET", TASKS, 200, tasks(task()), headers=JSON),
    "Java HttpClient, upgrade to HTTP/2": shape("GET", TASKS, 200, tasks(task()), headers=JAVA),
    "slash at the end": shape("GET", TASKS + "/", 200, tasks(task())),
    "slash before the query": shape("GET", TASKS + "/?status=pending", 200, tasks(task())),
    "question mark without a query": shape("GET", TASKS + "?", 200, tasks(task())),
    "status=completed": shape("GET", TASKS + "?status=completed", 200, tasks()),
    "completed=true": shape("GET", TASKS + "?completed=true", 200, tasks()),
    "completed=false": shape("GET", TASKS + "?completed=false", 200, tasks(task())),
    "completed=True of Python": shape(
        "GET", TASKS + "?completed=True", 400, invalid("query.completed")
    ),
    "completed=1": shape("GET", TASKS + "?completed=1", 400, invalid("query.completed")),
    "status and completed that agree": shape(
        "GET", TASKS + "?status=pending&completed=false", 200, tasks(task())
    ),
    "status=all beside completed": shape(
        "GET", TASKS + "?status=all&completed=false", 200, tasks(task())
    ),
    "status and completed that contradict each other": shape(
        "GET", TASKS + "?status=pending&completed=true", 400, invalid("query.completed")
    ),
    "sort=created_at": shape(
        "GET", TASKS + "?sort=created_at&order=desc", 200, tasks(task())
    ),
    "sort=-created_at": shape("GET", TASKS + "?sort=-created_at", 400, invalid("query.sort")),
    "order=DESC": shape("GET", TASKS + "?order=DESC", 400, invalid("query.order")),
    "user_id in the query too": shape("GET", TASKS + "?user_id={user}", 200, tasks(task())),
    "another user_id in the query": shape(
        "GET", TASKS + "?user_id=bob", 400, invalid("query.user_id")
    ),
    "jQuery, cache: false": shape("GET", TASKS + "?_=1767950000000", 200, tasks(task())),
    "undefined as a value": shape("GET", TASKS + "?status=undefined", 400, invalid("query.status")),
    "null as a cursor": shape("GET", TASKS + "?cursor=null", 400, invalid("query.cursor")),
    "empty cursor": shape("GET", TASKS + "?cursor=&limit=5", 400, invalid("query.cursor")),
    "empty value": shape("GET", TASKS + "?status=", 400, invalid("query.status")),
    "name without a value": shape("GET", TASKS + "?limit", 400, invalid("query.limit")),
    "parameter sent twice": shape(
        "GET", TASKS + "?status=pending&status=completed", 400, invalid("query.status")
    ),
    "array in the style of PHP": shape("GET", TASKS + "?status[]=pending", 400, invalid("query")),
    "HEAD": shape("HEAD", TASKS, 200, None),
    "search": shape("GET", TASKS + "?q=MILK", 200, tasks(task())),
    "search, plus for a blank": shape("GET", TASKS + "?q=buy+milk", 200, tasks(task())),
    "search that finds nothing": shape("GET", TASKS + "?q=%25", 200, tasks()),
    "empty search box": shape("GET", TASKS + "?q=", 400, invalid("query.q")),
    "stats": shape("GET", TASKS + "/stats", 200, {"total": 1, "pending": 1, "completed": 0}),
    "stats, slash at the end": shape(
        "GET", TASKS + "/stats/", 200, {"total": 1, "pending": 1, "completed": 0}
    ),
    "stats with a filter": shape(
        "GET", TASKS + "/stats?status=pending", 400, invalid("query.status")
    ),
}  # fmt: skip
# If the service ignored these, the client would get the first page, or all tasks, without noticing.
UNKNOWN = ("page", "offset", "skip", "per_page", "pageSize", "search", "filter", "sortBy", "userId")
LISTS |= {
    f"limit with {name}": shape(
        "GET", f"{TASKS}?limit=10&{name}=2", 400, invalid(f"query.{name}")
    )
    for name in UNKNOWN
}  # fmt: skip

CREATES = {
    "axios or ky": shape("POST", TASKS, 201, TEA, json=NEW),
    "charset": shape(
        "POST", TASKS, 201, TEA, content=json.dumps(NEW),
        headers={"Content-Type": "application/json;charset=UTF-8"},
    ),
    "slash at the end": shape("POST", TASKS + "/", 201, TEA, json=NEW),
    "completed": shape(
        "POST", TASKS, 201, task(title="Tea", completed=True), json={**NEW, "completed": True}
    ),
    "whole task": shape(
        "POST", TASKS, 201,
        task(title="Buy oat milk", description="Two litres", completed=True), json=WHOLE,
    ),
    "whole task of nulls, as Java has a new one": shape(
        "POST", TASKS, 201, TEA,
        json={**dict.fromkeys(WHOLE), "title": "Tea", "completed": False},
    ),
    "completed: null": shape(
        "POST", TASKS, 400, invalid("body.completed"), json={**NEW, "completed": None}
    ),
    "fields in another case": shape("POST", TASKS, 400, invalid("body.title"), json={"Title": "x"}),
    "Java HttpClient, upgrade to HTTP/2": shape(
        "POST", TASKS, 201, TEA, content=json.dumps(NEW), headers=JAVA
    ),
    "chunks": shape("POST", TASKS, 201, TEA, content=[b'{"title":', b'"Tea"}'], headers=JSON),
    "curl, large body": shape(
        "POST", TASKS, 201, TEA, json=NEW, headers={"Expect": "100-continue"}
    ),
    "byte order mark": shape(
        "POST", TASKS, 201, TEA, content=BOM + b'{"title": "Tea"}', headers=JSON
    ),
    "compressed": shape(
        "POST", TASKS, 415, error("UNSUPPORTED_MEDIA_TYPE"),
        content=gzip.compress(b'{"title": "Tea"}'), headers={"Content-Encoding": "gzip", **JSON},
    ),
    "half of an emoji": shape(
        "POST", TASKS, 400, invalid("body.title"), content=b'{"title": "Tea \\ud83c"}', headers=JSON
    ),
    "curl -d without a Content-Type": shape(
        "POST", TASKS, 400, invalid("body"), content='{"title": "Tea"}', headers=FORM
    ),
    "fetch without a Content-Type": shape(
        "POST", TASKS, 400, invalid("body"), content='{"title": "Tea"}',
        headers={"Content-Type": "text/plain;charset=UTF-8"},
    ),
    "no Content-Type": shape("POST", TASKS, 400, invalid("body"), content='{"title": "Tea"}'),
    "HTML form": shape("POST", TASKS, 400, invalid("body"), data=NEW),
    "FormData": shape("POST", TASKS, 400, invalid("body"), files={"title": b"Tea"}),
    "JSON inside a JSON string": shape("POST", TASKS, 400, invalid("body"), json=json.dumps(NEW)),
    "list of tasks": shape("POST", TASKS, 400, invalid("body"), json=[NEW]),
    "task inside an object": shape("POST", TASKS, 400, invalid("body.title"), json={"task": NEW}),
    "nothing": shape("POST", TASKS, 400, invalid("body"), headers=JSON),
}  # fmt: skip

OAT_MILK = task(title="Buy oat milk", description="Two litres", completed=True)
CHANGES = {
    "PUT of one field": shape("PUT", TASK, 200, task(title="Tea"), json=NEW),
    "PATCH of one field": shape("PATCH", TASK, 200, task(title="Tea"), json=NEW),
    "PUT of a whole task": shape("PUT", TASK, 200, OAT_MILK, json=WHOLE),
    "PATCH of a whole task": shape("PATCH", TASK, 200, OAT_MILK, json=WHOLE),
    "PATCH of completed": shape(
        "PATCH", TASK, 200, task(completed=True), json={"completed": True}
    ),
    "PATCH of nothing": shape("PATCH", TASK, 200, task(), json={}),
    "PATCH, slash at the end": shape("PATCH", TASK + "/", 200, task(title="Tea"), json=NEW),
    "PATCH with If-Match: *": shape(
        "PATCH", TASK, 200, task(title="Tea"), json=NEW, headers={"If-Match": "*"}
    ),
    "PATCH of an old version": shape(
        "PATCH", TASK, 412, error("PRECONDITION_FAILED"), json=NEW, headers={"If-Match": '"old"'}
    ),
    "JSON Merge Patch": shape(
        "PATCH", TASK, 200, task(title="Tea"), content=json.dumps(NEW),
        headers={"Content-Type": "application/merge-patch+json"},
    ),
    "JSON Patch": shape(
        "PATCH", TASK, 400, invalid("body"),
        content='[{"op": "replace", "path": "/title", "value": "Tea"}]',
        headers={"Content-Type": "application/json-patch+json"},
    ),
    "title: null": shape("PUT", TASK, 400, invalid("body.title"), json={"title": None}),
    "an unknown parameter": shape("PUT", TASK + "?page=2", 200, task(title="Tea"), json=NEW),
    "POST of an update": shape("POST", TASK, 405, error("METHOD_NOT_ALLOWED"), json=NEW),
    "PUT without an id": shape("PUT", TASKS + "/", 405, error("METHOD_NOT_ALLOWED"), json=NEW),
    "undefined as an id": shape(
        "PUT", TASKS + "/undefined", 400, invalid("path.task_id"), json=NEW
    ),
    "get, slash at the end": shape("GET", TASK + "/", 200, task()),
    "HEAD": shape("HEAD", TASK, 200, None),
    "DELETE": shape("DELETE", TASK, 204, None),
    "DELETE, slash at the end": shape("DELETE", TASK + "/", 204, None),
    "DELETE with Content-Type": shape("DELETE", TASK, 204, None, headers=JSON),
    "DELETE with a body": shape("DELETE", TASK, 204, None, json={"id": 1}),
    "DELETE without an id": shape("DELETE", TASKS + "/", 400, invalid("path.task_id")),
    "DELETE of the collection": shape("DELETE", TASKS, 400, invalid("query.status")),
    "clear completed": shape("DELETE", TASKS + "?status=completed", 200, {"deleted": 0}),
    "clear completed, with a body": shape(
        "DELETE", TASKS + "?status=completed", 400, invalid("body"), json={"ids": [1]}
    ),
    "clear completed, completed=true": shape(
        "DELETE", TASKS + "?completed=true", 400, invalid("query.status", "query.completed")
    ),
    "erase all": shape("DELETE", TASKS + "?status=all", 200, {"deleted": 1}),
    "erase all, jQuery": shape("DELETE", TASKS + "?status=all&_=1", 200, {"deleted": 1}),
    "erase all, slash at the end": shape(
        "DELETE", TASKS + "/?status=all", 400, invalid("path.task_id")
    ),
    "POST of clear": shape("POST", TASKS + "/clear", 405, error("METHOD_NOT_ALLOWED")),
}  # fmt: skip

DONE = task(completed=True)
COMPLETIONS = {
    "without a body": shape("PATCH", COMPLETE, 200, DONE),
    "Content-Type without a body": shape("PATCH", COMPLETE, 200, DONE, headers=JSON),
    "form without a body": shape("PATCH", COMPLETE, 200, DONE, headers=FORM),
    "Java HttpClient, upgrade to HTTP/2": shape("PATCH", COMPLETE, 200, DONE, headers=JAVA),
    "empty object": shape("PATCH", COMPLETE, 200, DONE, json={}),
    "completed: true": shape("PATCH", COMPLETE, 200, DONE, json={"completed": True}),
    "completed: false": shape("PATCH", COMPLETE, 200, task(), json={"completed": False}),
    "whole task": shape("PATCH", COMPLETE, 200, DONE, json=WHOLE),
    "whole task as it was": shape(
        "PATCH", COMPLETE, 200, task(), json={**WHOLE, "completed": False}
    ),
    "slash at the end": shape(
        "PATCH", COMPLETE + "/", 200, DONE, json={"completed": True}
    ),
    "byte order mark": shape(
        "PATCH", COMPLETE, 200, DONE, content=BOM + b'{"completed": true}', headers=JSON
    ),
    "axios.patch(url, null) with Content-Type": shape(
        "PATCH", COMPLETE, 200, DONE, content="null", headers=JSON
    ),
    "true alone": shape("PATCH", COMPLETE, 400, invalid("body"), json=True),
    "completed: null": shape(
        "PATCH", COMPLETE, 400, invalid("body.completed"), json={"completed": None}
    ),
    "completed as text": shape(
        "PATCH", COMPLETE, 400, invalid("body.completed"), json={"completed": "true"}
    ),
    "curl -d without a Content-Type": shape(
        "PATCH", COMPLETE, 400, invalid("body"), content='{"completed": true}', headers=FORM
    ),
    "compressed": shape(
        "PATCH", COMPLETE, 415, error("UNSUPPORTED_MEDIA_TYPE"),
        content=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip", **JSON},
    ),
    "POST": shape("POST", COMPLETE, 405, error("METHOD_NOT_ALLOWED")),
}  # fmt: skip

OTHERS = {
    "health check by HEAD": shape("HEAD", "/health", 200, None),
    "link checker": shape("HEAD", "/docs", 200, None),
    "OpenAPI document by HEAD": shape("HEAD", "/openapi.json", 200, None),
}

SHAPES = {
    f"{group}: {name}": shape
    for group, shapes in {
        "list": LISTS,
        "create": CREATES,
        "one task": CHANGES,
        "complete": COMPLETIONS,
        "other": OTHERS,
    }.items()
    for name, shape in shapes.items()
}


Send = Callable[[Shape], httpx.Response]


def content(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a request. A list becomes an iterator, which httpx sends in chunks."""
    parts = options.get("content")
    return {**options, "content": iter(parts)} if isinstance(parts, list) else options


@pytest.fixture
def send(client: httpx.Client, alice: str, create: Create) -> Send:
    task_id = create()["id"]

    def send(shape: Shape) -> httpx.Response:
        path = shape.path.format(user=alice, task=task_id)
        return client.request(shape.method, path, **content(shape.options))

    return send


@pytest.mark.parametrize("name", SHAPES)
def test_the_response_to_this_request(name: str, send: Send) -> None:
    shape = SHAPES[name]
    response = send(shape)
    body = response.json() if response.content else None
    assert (response.status_code, body) == (shape.status, shape.body)
    assert not response.is_redirect


@pytest.mark.parametrize("name", COMPLETIONS)
def test_only_a_toggle_differs_when_it_is_sent_twice(name: str, send: Send) -> None:
    shape = COMPLETIONS[name]
    first, second = send(shape), send(shape)
    says_what_it_means = "completed" in str(shape.options)
    toggles = shape.status == 200 and not says_what_it_means
    assert (first.json() == second.json()) == (not toggles)
