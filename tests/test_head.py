"""HEAD is GET without the body: the same status and the same headers, on every path."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

Create = Callable[..., dict[str, Any]]

PATHS = [
    "/health/live",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/docs/assets/redoc.standalone.js",
    "/docs/assets/favicon.png",
    "/docs/assets/absent",
    "/api/{user}/tasks",
    "/api/{user}/tasks/",
    "/api/{user}/tasks?limit=1&status=pending",
    "/api/{user}/tasks?limit=0",
    "/api/{user}/tasks?q=milk",
    "/api/{user}/tasks/stats",
    "/api/{user}/tasks/stats/",
    "/api/{user}/tasks/stats?limit=1",
    "/api/{user}/tasks/{task}",
    "/api/{user}/tasks/{task}/",
    "/api/{user}/tasks/9223372036854775807",
    "/api/{user}/tasks/x",
    "/api/bob/tasks",
]


def headers_of(response: httpx.Response) -> dict[str, str]:
    """Return the headers, except those that differ in every response."""
    own = ("date", "x-request-id")
    return {name: value for name, value in response.headers.items() if name not in own}


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(
    path: str, client: httpx.Client, alice: str, create: Create
) -> None:
    url = path.format(user=alice, task=create()["id"])
    get, head = client.get(url), client.head(url)
    assert (head.status_code, headers_of(head)) == (get.status_code, headers_of(get))
    assert head.headers["content-length"] == str(len(get.content)) != "0"
    assert head.content == b""


def test_head_supports_if_none_match_like_get(
    client: httpx.Client, alice: str, create: Create
) -> None:
    task = create()
    path = f"/api/{alice}/tasks/{task['id']}"
    headers = {"If-None-Match": f'"{task["updated_at"]}"'}
    get, head = client.get(path, headers=headers), client.head(path, headers=headers)
    assert (head.status_code, headers_of(head)) == (304, headers_of(get))


def test_head_needs_a_token(anonymous: httpx.Client, alice: str) -> None:
    assert anonymous.head(f"/api/{alice}/tasks").status_code == 401


def test_every_path_with_a_get_has_a_head(app: FastAPI) -> None:
    methods: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        methods.setdefault(context.path or "", set()).update(context.methods or ())
    readable = {path for path, known in methods.items() if "GET" in known}
    assert len(readable) >= 9
    assert [path for path in readable if "HEAD" not in methods[path]] == []


def test_the_openapi_document_leaves_out_head(app: FastAPI) -> None:
    paths = app.openapi()["paths"].values()
    assert not any("head" in operations for operations in paths)
