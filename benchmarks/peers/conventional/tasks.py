"""The routes."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, status
from sqlmodel import col, func, or_, select

from conventional.auth import CurrentUser
from conventional.database import SessionDep
from conventional.models import Task, utc_now
from conventional.schemas import (
    TaskCreate,
    TaskListResponse,
    TaskResponse,
    TaskStatsResponse,
    TaskUpdate,
)

router = APIRouter(prefix="/api/{user_id}/tasks", tags=["tasks"])


def get_task_or_404(session: SessionDep, user_id: str, task_id: int) -> Task:
    """Return the task, if it exists and belongs to the user."""
    task = session.get(Task, task_id)
    if task is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Task not found")
    if task.user_id != user_id:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Not your task")
    return task


@router.get("", response_model=TaskListResponse)
def list_tasks(
    user_id: CurrentUser,
    session: SessionDep,
    limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
    q: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> dict[str, object]:
    """List the user's tasks that contain `q`, newest first."""
    statement = (
        select(Task)
        .where(Task.user_id == user_id)
        .order_by(col(Task.created_at).desc())
        .limit(limit)
    )
    if q is not None:
        fields = (col(Task.title), col(Task.description))
        statement = statement.where(or_(*(each.icontains(q, autoescape=True) for each in fields)))
    tasks = session.exec(statement).all()
    return {"tasks": tasks, "count": len(tasks)}


@router.get("/stats", response_model=TaskStatsResponse)
def read_stats(user_id: CurrentUser, session: SessionDep) -> dict[str, int]:
    """Count the user's tasks."""
    done = col(Task.completed)
    statement = select(
        func.count().filter(~done).label("pending"), func.count().filter(done).label("completed")
    ).where(Task.user_id == user_id)
    pending, completed = session.exec(statement).one()
    return {"total": pending + completed, "pending": pending, "completed": completed}


@router.post("", response_model=TaskResponse, status_code=status.HTTP_201_CREATED)
def create_task(user_id: CurrentUser, session: SessionDep, body: TaskCreate) -> Task:
    """Create a task."""
    task = Task.model_validate(body, update={"user_id": user_id})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.get("/{task_id}", response_model=TaskResponse)
def read_task(user_id: CurrentUser, session: SessionDep, task_id: int) -> Task:
    """Read one task."""
    return get_task_or_404(session, user_id, task_id)


@router.put("/{task_id}", response_model=TaskResponse)
def update_task(user_id: CurrentUser, session: SessionDep, task_id: int, body: TaskUpdate) -> Task:
    """Change the fields that the client sent."""
    task = get_task_or_404(session, user_id, task_id)
    task.sqlmodel_update(body.model_dump(exclude_unset=True), update={"updated_at": utc_now()})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.delete("/{task_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_task(user_id: CurrentUser, session: SessionDep, task_id: int) -> None:
    """Delete a task."""
    session.delete(get_task_or_404(session, user_id, task_id))
    session.commit()


@router.patch("/{task_id}/complete", response_model=TaskResponse)
def toggle_task(user_id: CurrentUser, session: SessionDep, task_id: int) -> Task:
    """Toggle `completed`."""
    task = get_task_or_404(session, user_id, task_id)
    task.completed = not task.completed
    task.updated_at = utc_now()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task
