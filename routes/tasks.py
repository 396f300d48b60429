"""The operations on tasks."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import MISSING

import errors
from auth import CurrentUser
from database import SessionDep
from errors import InvalidInput
from errors.faults import Fault
from memory import RESPONSE_PART
from middleware.security_headers import RawHeader
from routes.responses import BODY, CHANGE, COLLECTION, CREATED_HEADERS, ETAG, ONE_TASK
from routing.openapi import error_responses
from routing.task_route import TaskRoute
from schemas import (
    DeletionQuery,
    StatsQuery,
    TaskCompletion,
    TaskCreate,
    TaskId,
    TaskListResponse,
    TaskQuery,
    TaskResponse,
    TasksDeletedResponse,
    TaskStatsResponse,
    TaskUpdate,
)
from tasks import queries
from tasks.deletion import Deletion, LargeDeletion, check_bare, delete_batch
from tasks.headers import IdempotencyKey, IfMatch, IfNoneMatch, precondition_failed
from tasks.idempotency import create_once
from tasks.large_lists import large_lists
from tasks.pagination import decode_cursor, json_size, list_json, page_json, read_page
from tasks.query_string import check_query_string
from tasks.repository import fetch_task, modify_task
from tasks.responses import BodyResponse, location, not_modified, task_response
from tasks.serialization import TaskStats, to_json, to_task

TOGGLE = TaskCompletion()

router = APIRouter(prefix="/api/{user_id}/tasks", tags=["tasks"], route_class=TaskRoute)


@router.head("", include_in_schema=False)
@router.get(
    "",
    response_model=TaskListResponse,
    responses=COLLECTION,
    operation_id="listTasks",
    summary="List tasks",
)
async def list_tasks(
    request: Request,
    user_id: CurrentUser,
    session: SessionDep,
    query: Annotated[TaskQuery, Query()],
) -> Response:
    """Return all tasks of the user, or one page of them with `limit`."""
    check_query_string(request, query, user_id)
    after = decode_cursor(query)
    chunk, large = large_lists.first_chunk(query.limit)
    page = await read_page(session, user_id, query, after, chunk)
    size = json_size(page.tasks)
    if large:
        large.settle(size)
    is_whole = page.next is None or len(page.tasks) == query.limit
    if is_whole and size <= RESPONSE_PART:
        return BodyResponse(page_json(page, query))
    if request.method == "HEAD":  # the length is not known until every task has been read
        response = Response(media_type="application/json")
        del response.headers["content-length"]
        return response
    admission = request.app.state.admission
    parts = list_json(session, admission, user_id, query, page, large)
    return StreamingResponse(parts, media_type="application/json")


@router.post(
    "",
    response_model=TaskResponse,
    status_code=201,
    responses=COLLECTION
    | BODY
    | error_responses(errors.TaskNotFound, errors.IdempotencyKeyReused)
    | {201: {"headers": CREATED_HEADERS | ETAG}},
    operation_id="createTask",
    summary="Create a task",
)
async def create_task(
    request: Request,
    user_id: CurrentUser,
    session: SessionDep,
    task: TaskCreate,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Create a task, which is not completed unless the body says so.

    With an `Idempotency-Key`, the client may send the request again until it gets a response. The
    first request creates the task. The others return the same task in its current state, or 404
    if the task has been deleted since then.
    """
    headers: list[RawHeader] = []
    if idempotency_key is None:
        values = {"user_id": user_id, **queries.stored(task.model_dump())}
        [row] = await session.fetch(queries.CREATE, values, retry=False, last=True)
        created = to_task(row)
    else:
        created, replayed = await create_once(session, user_id, task, idempotency_key)
        request.app.state.expired_keys.key_arrived()
        headers = [(b"idempotency-replayed", b"true")] if replayed else []
    headers.append(location(request, user_id, created))
    return task_response(created, 201, headers)


@router.delete(
    "",
    response_model=TasksDeletedResponse,
    responses=COLLECTION,
    operation_id="clearTasks",
    summary="Clear completed tasks, or erase all",
)
async def clear_tasks(
    request: Request,
    user_id: CurrentUser,
    session: SessionDep,
    query: Annotated[DeletionQuery, Query()],
) -> Response:
    """Permanently delete the user's completed tasks, or all data of the user.

    More than 10,000 tasks are deleted in several steps. If one of them fails, the error says how
    many tasks were deleted, and the same request deletes the rest. The deletion continues if the
    client disconnects.
    """
    check_query_string(request, query, user_id)
    check_bare(request)
    deleted, has_more = await delete_batch(session, user_id, query.status)
    if not has_more:
        return BodyResponse(to_json(Deletion(deleted)))
    return LargeDeletion(session, request.app.state.admission, user_id, query.status, deleted)


@router.delete("/", include_in_schema=False)
async def refuse_empty_task_id(user_id: CurrentUser) -> Response:
    """Refuse the path of one task with an empty id, because it must not delete several tasks."""
    raise InvalidInput(Fault("path.task_id", "is missing: the path ends with a slash"))


@router.head("/stats", include_in_schema=False)
@router.get(
    "/stats",
    response_model=TaskStatsResponse,
    responses=COLLECTION,
    operation_id="getTaskStats",
    summary="Count tasks",
)
async def get_task_stats(
    request: Request,
    user_id: CurrentUser,
    session: SessionDep,
    query: Annotated[StatsQuery, Query()],
) -> Response:
    """Return how many tasks the user has, and how many of them are pending and completed."""
    check_query_string(request, query, user_id)
    [(pending, completed)] = await session.fetch(
        queries.STATS, {"user_id": user_id}, retry=True, last=True
    )
    return BodyResponse(to_json(TaskStats(pending + completed, pending, completed)))


@router.head("/{task_id:task}", include_in_schema=False)
@router.get(
    "/{task_id:task}",
    response_model=TaskResponse,
    responses=ONE_TASK
    | {
        200: {"headers": ETAG},
        304: {"description": "The client already has this version.", "headers": ETAG},
    },
    operation_id="getTask",
    summary="Get a task",
)
async def get_task(
    user_id: CurrentUser, task_id: TaskId, session: SessionDep, if_none_match: IfNoneMatch = None
) -> Response:
    """Return one task of the user."""
    task = await fetch_task(queries.GET, user_id, task_id, session, retry=True)
    if if_none_match and not if_none_match.isdisjoint(("*", task.etag)):
        return not_modified(task)
    return task_response(task)


@router.patch(
    "/{task_id:task}",
    response_model=TaskResponse,
    responses=CHANGE | BODY | {200: {"headers": ETAG}},
    operation_id="patchTask",
    summary="Update a task (the same as PUT)",
)
@router.put(
    "/{task_id:task}",
    response_model=TaskResponse,
    responses=CHANGE | BODY | {200: {"headers": ETAG}},
    operation_id="updateTask",
    summary="Update a task",
)
async def update_task(
    user_id: CurrentUser,
    task_id: TaskId,
    session: SessionDep,
    task: TaskUpdate,
    if_match: IfMatch = None,
) -> Response:
    """Change only the fields that are sent. Without any field, return the task unchanged."""
    changes = task.model_dump()
    if not changes:
        unchanged = await fetch_task(queries.GET, user_id, task_id, session, retry=True)
        if if_match is not None and unchanged.etag not in if_match:
            raise precondition_failed(if_match)
        return task_response(unchanged)
    values = queries.update_values(changes)
    return task_response(
        await modify_task(queries.UPDATE, user_id, task_id, session, if_match, values)
    )


@router.delete(
    "/{task_id:task}",
    status_code=204,
    responses=CHANGE,
    operation_id="deleteTask",
    summary="Delete a task",
)
async def delete_task(
    user_id: CurrentUser, task_id: TaskId, session: SessionDep, if_match: IfMatch = None
) -> Response:
    """Delete a task permanently."""
    await modify_task(queries.DELETE, user_id, task_id, session, if_match)
    return Response(status_code=204)


@router.patch(
    "/{task_id:task}/complete",
    response_model=TaskResponse,
    responses=CHANGE | BODY | {200: {"headers": ETAG}},
    operation_id="toggleTask",
    summary="Set or toggle completion",
)
async def toggle_task(
    user_id: CurrentUser,
    task_id: TaskId,
    session: SessionDep,
    completion: TaskCompletion = TOGGLE,
    if_match: IfMatch = None,
) -> Response:
    """Set `completed` to the value in the body, which is safe to repeat.

    Without a body, or without `completed` in it, complete a pending task, or make a completed task
    pending. If the task already has the value in the body, nothing changes, not even `updated_at`.
    """
    if completion.completed is MISSING:
        toggled = await modify_task(queries.TOGGLE, user_id, task_id, session, if_match)
        return task_response(toggled)
    values = {"completed": completion.completed}
    return task_response(
        await modify_task(queries.SET_COMPLETED, user_id, task_id, session, if_match, values)
    )
