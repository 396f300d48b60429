"""Pages of a list: the keyset cursor, and the JSON of one page or of the whole list."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json

from database import Session
from errors import InvalidInput
from errors.faults import Fault
from memory import RESPONSE_PART
from models import TITLE_LENGTH
from schemas import CURSOR, MAX_ID, TaskQuery
from tasks import queries
from tasks.large_lists import CHUNK, MAX_CHUNK, LargeList
from tasks.serialization import Task, TaskList, to_json, to_tasks
from tasks.times import is_rfc3339

PART = 50  # tasks to send at once


class Slots(Protocol):
    """The right to use a connection (routing/admission.py)."""

    async def acquire(self, user: str, *, has_begun: bool = False) -> bool: ...
    def release(self, user: str) -> None: ...


class Position(NamedTuple):
    """The end of a page: its last task's sort key (title, or time of creation) and id."""

    key: str
    id: int


class Page(NamedTuple):
    """Some tasks in order, and the start of the next page if there is one."""

    tasks: list[Task]
    next: Position | None


def encode_cursor(position: Position, query: TaskQuery) -> str:
    """Return `position` as an opaque string that is valid for this sort and order only."""
    values = to_json([query.sort, query.direction, *position])
    return urlsafe_b64encode(values).decode().rstrip("=")


def decode_cursor(query: TaskQuery) -> Position | None:
    """Return the position that `query.cursor` stands for. Raises InvalidInput."""
    if query.cursor is None:
        return None
    try:
        return _decoded(query.cursor, query)
    except (ValueError, TypeError):
        raise InvalidInput(Fault("query.cursor", CURSOR)) from None


def _decoded(cursor: str, query: TaskQuery) -> Position:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", cursor, re.ASCII):
        raise ValueError
    sort, direction, key, task_id = from_json(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if (sort, direction) != (query.sort, query.direction):
        raise ValueError
    if type(task_id) is not int or not 1 <= task_id <= MAX_ID or type(key) is not str:
        raise ValueError
    if sort == "title" and not ("\0" not in key and 1 <= len(key) <= TITLE_LENGTH):
        raise ValueError
    if sort == "created" and not is_rfc3339(key):
        raise ValueError
    return Position(key, task_id)


async def read_page(
    session: Session, user_id: str, query: TaskQuery, after: Position | None, limit: int
) -> Page:
    """Return at most `limit` tasks. One more is read to find out whether there is a next page."""
    is_after = after is not None
    statement = queries.list_tasks(
        query.status_or_completed,
        query.sort,
        query.direction,
        after=is_after,
        search=query.q is not None,
    )
    parameters: dict[str, Any] = {"user_id": user_id, "limit": limit + 1}
    if query.q is not None:
        parameters["q"] = queries.pattern(query.q)
    if after is not None:
        parameters |= after._asdict()
    is_small = limit <= CHUNK  # only then may its rows wait in memory until the request continues
    tasks = to_tasks(await session.fetch(statement, parameters, retry=True, last=is_small))
    if len(tasks) <= limit:
        return Page(tasks, None)
    del tasks[limit:]
    last = tasks[-1]
    return Page(tasks, Position(last.title if query.sort == "title" else last.created_at, last.id))


def page_json(page: Page, query: TaskQuery) -> bytes:
    """Return the TaskListResponse of one page."""
    cursor = encode_cursor(page.next, query) if page.next else None
    return to_json(TaskList(page.tasks, len(page.tasks), cursor))


def json_size(tasks: list[Task]) -> float:
    """Estimate the size of the JSON of `tasks` in bytes from the first PART of them.

    Return 0 for up to CHUNK tasks, because those are not worth measuring.
    """
    return len(to_json(tasks[:PART])) * len(tasks) / PART if len(tasks) > CHUNK else 0.0


async def list_json(
    session: Session,
    slots: Slots,
    user_id: str,
    query: TaskQuery,
    page: Page,
    large: LargeList | None = None,
) -> AsyncIterator[bytes]:
    """Yield the TaskListResponse of `page` and the tasks after it, up to the limit of `query`.

    Each of the later parts is read by a statement of its own, which waits for a slot like a
    request. The slot is released before a part is sent, and the next part is made only when the
    client has read the previous one, so a slow client does not delay others. If a statement fails,
    or gets no slot in time, the response is cut off.
    """
    tasks, following = page
    del page
    held = [large]  # until the page has been sent
    del large
    count, size = 0, CHUNK
    yield b'{"tasks":['
    while True:
        while tasks:
            part = to_json(tasks[:PART])[1:-1]
            sent = len(tasks[:PART])
            size = sent * RESPONSE_PART // len(part)  # tasks of the next part
            del tasks[:PART]
            yield b"," + part if count else part
            count += sent
            del part
            yield b""  # StreamingResponse keeps what was yielded last
        held.clear()
        missing = query.limit - count if query.limit else MAX_CHUNK
        if following is None or not missing:
            break
        await slots.acquire(user_id, has_begun=True)
        try:
            size = max(1, min(size, missing, MAX_CHUNK))
            tasks, following = await read_page(session, user_id, query, following, size)
        finally:
            slots.release(user_id)
    cursor = to_json(encode_cursor(following, query) if following else None)
    yield b'],"count":%d,"next_cursor":%b}' % (count, cursor)
