"""The routes. pydantic validates and serializes each row, which it gets as a dict."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, status

from auth import CurrentUser
from database import PoolDep
from schemas import TaskCreate, TaskListResponse, TaskResponse, TaskStats, TaskUpdate

COLUMNS = "id, user_id, title, description, completed, created_at, updated_at"
LIST = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"
SEARCH = (
    f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND (title ILIKE $3 OR description ILIKE $3)"
    " ORDER BY created_at DESC LIMIT $2"
)
STATS = (
    "SELECT count(*) AS total, count(*) FILTER (WHERE NOT completed) AS pending,"
    " count(*) FILTER (WHERE completed) AS completed FROM tasks WHERE user_id = $1"
)
SPECIAL = str.maketrans({special: f"\\{special}" for special in "\\%_"})
CREATE = f"INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING {COLUMNS}"
READ = f"SELECT {COLUMNS} FROM tasks WHERE id = $1 AND user_id = $2"
UPDATE = (
    f"UPDATE tasks SET {{}}updated_at = now() WHERE id = $1 AND user_id = $2 RETURNING {COLUMNS}"
)
TOGGLE = UPDATE.format("completed = NOT completed, ")
DELETE = "DELETE FROM tasks WHERE id = $1 AND user_id = $2 RETURNING id"

router = APIRouter(prefix="/api/{user_id}/tasks", tags=["tasks"])


async def one(pool: PoolDep, statement: str, *values: object) -> dict[str, Any]:
    """Return the task that a statement returns."""
    row = await pool.fetchrow(statement, *values)
    if row is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Task not found")
    return dict(row)


@router.get("", response_model=TaskListResponse)
async def list_tasks(
    user_id: CurrentUser,
    pool: PoolDep,
    limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
    q: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> dict[str, Any]:
    """List the user's tasks that contain `q`, newest first."""
    if q is None:
        rows = await pool.fetch(LIST, user_id, limit)
    else:
        rows = await pool.fetch(SEARCH, user_id, limit, f"%{q.translate(SPECIAL)}%")
    return {"tasks": [dict(row) for row in rows], "count": len(rows)}


@router.get("/stats", response_model=TaskStats)
async def read_stats(user_id: CurrentUser, pool: PoolDep) -> dict[str, Any]:
    """Count the user's tasks."""
    return dict(await pool.fetchrow(STATS, user_id))


@router.post("", response_model=TaskResponse, status_code=status.HTTP_201_CREATED)
async def create_task(user_id: CurrentUser, pool: PoolDep, body: TaskCreate) -> dict[str, Any]:
    """Create a task."""
    return await one(pool, CREATE, user_id, body.title, body.description)


@router.get("/{task_id}", response_model=TaskResponse)
async def read_task(user_id: CurrentUser, pool: PoolDep, task_id: int) -> dict[str, Any]:
    """Read one task."""
    return await one(pool, READ, task_id, user_id)


@router.put("/{task_id}", response_model=TaskResponse)
async def update_task(
    user_id: CurrentUser, pool: PoolDep, task_id: int, body: TaskUpdate
) -> dict[str, Any]:
    """Change the fields that the client sent."""
    changes = body.model_dump(exclude_unset=True)
    assignments = (f"{name} = ${number}, " for number, name in enumerate(changes, 3))
    statement = UPDATE.format("".join(assignments))
    return await one(pool, statement, task_id, user_id, *changes.values())


@router.patch("/{task_id}/complete", response_model=TaskResponse)
async def toggle_task(user_id: CurrentUser, pool: PoolDep, task_id: int) -> dict[str, Any]:
    """Toggle `completed`."""
    return await one(pool, TOGGLE, task_id, user_id)


@router.delete("/{task_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_task(user_id: CurrentUser, pool: PoolDep, task_id: int) -> None:
    """Delete a task."""
    if await pool.fetchval(DELETE, task_id, user_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Task not found")
