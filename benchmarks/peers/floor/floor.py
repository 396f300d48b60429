"""The floor: the cost of uvicorn, psycopg2, orjson and the token check alone.

One process, one blocking connection in autocommit, one statement for each request, and only the
validation that the calls need. Do not deploy this.
"""

import os
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
import psycopg2
from jose import JWTError, jwt
from psycopg2.extras import RealDictCursor

COLUMNS = "id, user_id, title, description, completed, created_at, updated_at"
LIST = f"SELECT {COLUMNS} FROM tasks WHERE user_id = %s ORDER BY created_at DESC LIMIT %s"
SEARCH = (
    f"SELECT {COLUMNS} FROM tasks WHERE user_id = %s AND (title ILIKE %s OR description ILIKE %s)"
    " ORDER BY created_at DESC LIMIT %s"
)
STATS = (
    "SELECT count(*) AS total, count(*) FILTER (WHERE NOT completed) AS pending,"
    " count(*) FILTER (WHERE completed) AS completed FROM tasks WHERE user_id = %s"
)
SPECIAL = str.maketrans({special: f"\\{special}" for special in "\\%_"})
GET = f"SELECT {COLUMNS} FROM tasks WHERE id = %s AND user_id = %s"
CREATE = f"INSERT INTO tasks (user_id, title, description) VALUES (%s, %s, %s) RETURNING {COLUMNS}"
UPDATE = (
    f"UPDATE tasks SET {{}}updated_at = now() WHERE id = %s AND user_id = %s RETURNING {COLUMNS}"
)
TOGGLE = UPDATE.format("completed = NOT completed, ")
DELETE = "DELETE FROM tasks WHERE id = %s AND user_id = %s RETURNING id"
PATH = re.compile(r"/api/([^/]+)/tasks(?:/(\d+)(/complete)?|(/stats))?")
JSON = (b"content-type", b"application/json")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SECRET = os.environ["BETTER_AUTH_SECRET"]
connection = psycopg2.connect(os.environ["DATABASE_URL"])
connection.autocommit = True


def run(statement: str, *values: object) -> list[dict[str, Any]]:
    """Execute a statement, and return its rows."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def token_user(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the `sub` of a valid token."""
    for name, value in headers:
        if name == b"authorization":
            try:
                return str(jwt.decode(value[7:].decode(), SECRET, algorithms=["HS256"])["sub"])
            except JWTError:
                return None
    return None


async def read_json(receive: Receive) -> dict[str, Any]:
    """Return the body of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    return dict(orjson.loads(body))


def list_tasks(user: str, query: bytes) -> tuple[int, object]:
    """Return the user's tasks that contain `q`: all, or the newest `limit`."""
    sent = parse_qs(query.decode())
    limit = int(sent["limit"][0]) if "limit" in sent else None
    if "q" in sent:
        pattern = f"%{sent['q'][0].translate(SPECIAL)}%"
        tasks = run(SEARCH, user, pattern, pattern, limit)
    else:
        tasks = run(LIST, user, limit)
    return 200, {"tasks": tasks, "count": len(tasks)}


def change(user: str, task: int, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Change the fields in `body`, and return the task's row if it exists."""
    names = [name for name in ("title", "description", "completed") if name in body]
    assignments = "".join(f"{name} = %s, " for name in names)
    return run(UPDATE.format(assignments), *(body[name] for name in names), task, user)


async def answer(scope: Message, receive: Receive) -> tuple[int, object]:
    """Return the status and the content of a response."""
    if scope["path"] == "/health":
        return 200, run("SELECT 'healthy' AS status")[0]
    match = PATH.fullmatch(scope["path"])
    if match is None:
        return 404, {"detail": "Not found"}
    user, number, complete, stats = match.groups()
    caller = token_user(scope["headers"])
    if caller != user:
        return (401 if caller is None else 403), {"detail": "Not allowed"}
    if stats:
        return 200, run(STATS, user)[0]
    if number is None and scope["method"] == "GET":
        return list_tasks(user, scope["query_string"])
    if number is None:
        body = await read_json(receive)
        return 201, run(CREATE, user, body["title"], body.get("description"))[0]
    rows = await one_task(scope["method"], user, int(number), complete, receive)
    if not rows:
        return 404, {"detail": "Task not found"}
    return (204, None) if scope["method"] == "DELETE" else (200, rows[0])


async def one_task(
    method: str, user: str, task: int, complete: str | None, receive: Receive
) -> list[dict[str, Any]]:
    """Execute a call on one task, and return its row if the task exists."""
    if complete:
        return run(TOGGLE, task, user)
    if method == "PUT":
        return change(user, task, await read_json(receive))
    return run(DELETE if method == "DELETE" else GET, task, user)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    status, content = await answer(scope, receive)
    body = b"" if content is None else orjson.dumps(content, option=orjson.OPT_UTC_Z)
    headers = [JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
