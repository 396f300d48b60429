"""The six operations on tasks."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

import errors
from auth import CurrentUser
from database import SessionDep
from routes import statements
from routes.pages import CHUNK, decode_cursor, page_json, read_page, whole_list_json
from routes.route import TaskRoute
from schemas import TaskCreate, TaskId, TaskListResponse, TaskQuery, TaskResponse, TaskUpdate

# What every operation can answer, besides what its own decorator adds.
ALWAYS = (
    errors.InvalidInput,
    errors.NotAuthenticated,
    errors.InvalidToken,
    errors.TokenExpired,
    errors.Forbidden,
    errors.InternalError,
    errors.DatabaseUnavailable,
    errors.Overloaded,
)
COLLECTION = errors.documented(*ALWAYS)
ONE_TASK = errors.documented(*ALWAYS, errors.TaskNotFound)

router = APIRouter(prefix="/api/{user_id}/tasks", tags=["tasks"], route_class=TaskRoute)


def json_response(body: str | bytes, status: int = 200, **headers: str) -> Response:
    """An answer whose JSON is already written."""
    return Response(body, status, headers, media_type="application/json")


async def own_task(
    sql: str, user_id: str, task_id: int, session: SessionDep, *, retry: bool = False, **values: Any
) -> str:
    """What `sql` returns of a task of the user. Raises TaskNotFound or Forbidden.

    Every statement asks for the task and its owner at once. Only when it found nothing is there a
    second one, which tells a task of somebody else from none.
    """
    values |= {"user_id": user_id, "task_id": task_id}
    for row in await session.fetch(sql, values, retry=retry):
        return str(row[0])
    if await session.fetch(statements.FOREIGN, values, retry=True):
        raise errors.Forbidden("the task is another user's")
    raise errors.TaskNotFound


@router.get(
    "",
    response_model=TaskListResponse,
    responses=COLLECTION,
    operation_id="listTasks",
    summary="List tasks",
)
async def list_tasks(
    user_id: CurrentUser, session: SessionDep, query: Annotated[TaskQuery, Query()]
) -> Response:
    """All tasks of the user, or with `limit` a page of them."""
    after = decode_cursor(query)
    page = await read_page(session, user_id, query, after, query.limit or CHUNK)
    if query.limit is None and page.next is not None:
        parts = whole_list_json(session, user_id, query, page)
        return StreamingResponse(parts, media_type="application/json")
    return json_response(page_json(page, query))


@router.post(
    "",
    response_model=TaskResponse,
    status_code=201,
    responses=COLLECTION
    | errors.documented(errors.PayloadTooLarge)
    | {201: {"headers": {"Location": {"schema": {"type": "string"}}}}},
    operation_id="createTask",
    summary="Create a task",
)
async def create_task(
    request: Request, user_id: CurrentUser, session: SessionDep, task: TaskCreate
) -> Response:
    """Creates a task, which is not completed yet."""
    values = {"user_id": user_id, **task.model_dump()}
    [(body, task_id)] = await session.fetch(statements.CREATE, values, retry=False)
    root = request.scope.get("root_path", "")
    location = f"{root}/api/{quote(user_id, safe='')}/tasks/{task_id}"
    return json_response(body, 201, Location=location)


@router.get(
    "/{task_id}",
    response_model=TaskResponse,
    responses=ONE_TASK,
    operation_id="getTask",
    summary="Get a task",
)
async def get_task(user_id: CurrentUser, task_id: TaskId, session: SessionDep) -> Response:
    """One task of the user."""
    return json_response(await own_task(statements.GET, user_id, task_id, session, retry=True))


@router.put(
    "/{task_id}",
    response_model=TaskResponse,
    responses=ONE_TASK | errors.documented(errors.PayloadTooLarge),
    operation_id="updateTask",
    summary="Update a task",
)
async def update_task(
    user_id: CurrentUser, task_id: TaskId, session: SessionDep, task: TaskUpdate
) -> Response:
    """Changes the fields that are sent and no others; with none, only answers the task."""
    changes = task.model_dump()
    if not changes:
        return json_response(await own_task(statements.GET, user_id, task_id, session, retry=True))
    changes["has_description"] = "description" in changes
    values = {"title": None, "description": None, "completed": None} | changes
    return json_response(await own_task(statements.UPDATE, user_id, task_id, session, **values))


@router.delete(
    "/{task_id}",
    status_code=204,
    responses=ONE_TASK,
    operation_id="deleteTask",
    summary="Delete a task",
)
async def delete_task(user_id: CurrentUser, task_id: TaskId, session: SessionDep) -> Response:
    """Deletes a task for good."""
    await own_task(statements.DELETE, user_id, task_id, session)
    return Response(status_code=204)


@router.patch(
    "/{task_id}/complete",
    response_model=TaskResponse,
    responses=ONE_TASK,
    operation_id="toggleTask",
    summary="Toggle completion",
)
async def toggle_task(user_id: CurrentUser, task_id: TaskId, session: SessionDep) -> Response:
    """Completes a pending task, and makes a completed one pending."""
    return json_response(await own_task(statements.TOGGLE, user_id, task_id, session))
