"""The routes."""

from typing import Annotated

from litestar import Controller, delete, get, patch, post, put
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import Parameter
from msgspec import UNSET
from msgspec.structs import asdict

from auth import require_owner
from schemas import Task, TaskCreate, TaskList, TaskStats, TaskUpdate

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


async def one(state: State, statement: str, *values: object) -> Task:
    """Return the task that a statement returns."""
    row = await state.pool.fetchrow(statement, *values)
    if row is None:
        raise NotFoundException("Task not found")
    return Task(*row)


class Tasks(Controller):
    """The routes of a user's tasks."""

    path = "/api/{user_id:str}/tasks"
    guards = [require_owner]  # noqa: RUF012

    @get()
    async def list_tasks(
        self,
        state: State,
        user_id: str,
        limit: Annotated[int | None, Parameter(ge=1, le=1000)] = None,
        q: Annotated[str | None, Parameter(min_length=1, max_length=200)] = None,
    ) -> TaskList:
        """List the user's tasks that contain `q`, newest first."""
        if q is None:
            rows = await state.pool.fetch(LIST, user_id, limit)
        else:
            rows = await state.pool.fetch(SEARCH, user_id, limit, f"%{q.translate(SPECIAL)}%")
        return TaskList([Task(*row) for row in rows], len(rows))

    @get("/stats")
    async def read_stats(self, state: State, user_id: str) -> TaskStats:
        """Count the user's tasks."""
        return TaskStats(*await state.pool.fetchrow(STATS, user_id))

    @post()
    async def create_task(self, state: State, user_id: str, data: TaskCreate) -> Task:
        """Create a task."""
        return await one(state, CREATE, user_id, data.title, data.description)

    @get("/{task_id:int}")
    async def read_task(self, state: State, user_id: str, task_id: int) -> Task:
        """Read one task."""
        return await one(state, READ, task_id, user_id)

    @put("/{task_id:int}")
    async def update_task(self, state: State, user_id: str, task_id: int, data: TaskUpdate) -> Task:
        """Change the fields that the client sent."""
        changes = {name: value for name, value in asdict(data).items() if value is not UNSET}
        assignments = (f"{name} = ${number}, " for number, name in enumerate(changes, 3))
        statement = UPDATE.format("".join(assignments))
        return await one(state, statement, task_id, user_id, *changes.values())

    @patch("/{task_id:int}/complete")
    async def toggle_task(self, state: State, user_id: str, task_id: int) -> Task:
        """Toggle `completed`."""
        return await one(state, TOGGLE, task_id, user_id)

    @delete("/{task_id:int}")
    async def delete_task(self, state: State, user_id: str, task_id: int) -> None:
        """Delete a task."""
        if await state.pool.fetchval(DELETE, task_id, user_id) is None:
            raise NotFoundException("Task not found")
