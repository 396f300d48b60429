"""The responses of the task operations."""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from fastapi import Request, Response

from middleware.security_headers import DEFAULTS, RawHeader
from tasks.serialization import Task, to_json

JSON: RawHeader = (b"content-type", b"application/json")


class BodyResponse(Response):
    """A response whose body is already JSON. Starlette's takes several times as long to make."""

    media_type = "application/json"
    background = None

    def __init__(self, body: bytes, status: int = 200, headers: Iterable[RawHeader] = ()) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = [(b"content-length", b"%d" % len(body)), JSON, *headers]


def task_response(task: Task, status: int = 200, headers: Iterable[RawHeader] = ()) -> Response:
    """Return a response with a task and its ETag."""
    return BodyResponse(to_json(task), status, ((b"etag", task.etag.encode()), *headers))


def not_modified(task: Task) -> Response:
    """Return a 304, with the headers that a response with the task would have."""
    response = Response(status_code=304, headers={"ETag": task.etag})
    response.raw_headers += DEFAULTS
    return response


def location(request: Request, user_id: str, task: Task) -> RawHeader:
    """Return the header with the path of a task that a request to its collection has created.

    It begins as the request's own path, which may have the prefix of a proxy, of a mount or of
    `include_router`.
    """
    scope = request.scope
    named = scope["path_params"]["user_id"]
    collection = _quoted(scope["path"], scope.get("root_path", ""), named, user_id)
    return b"location", f"{collection}/{task.id}".encode()


@lru_cache(1024)  # an entry for each user
def _quoted(path: str, root_path: str, named: str, user_id: str) -> str:
    """Return the path of the user's collection as it is in a URL: a slash in an id is `%2F`.

    `path` ends with the user that it names, who differs from `user_id` only under an override of
    `get_current_user`.
    """
    inner = path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path
    prefix = inner.removesuffix("/").removesuffix(f"/{named}/tasks")
    return f"{root_path}{quote(prefix)}/{quote(user_id, safe='')}/tasks"
