"""The tools: what an assistant can do with a user's tasks.

The assistant reads their names, docstrings, types and limits. Each tool sends one request to the
API.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mcp_server.api import TasksApi
from mcp_server.results import Deleted, Stats, Task, TaskPage


def _not_a_bool(value: object) -> object:
    """Keep pydantic from reading true as the number 1, which would be another task."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "must be a number")
    return value


Number = Annotated[int, BeforeValidator(_not_a_bool)]
TaskId = Annotated[Number, Field(ge=1, le=2**63 - 1, description="The id of the task.")]
Title = Annotated[
    str,
    Field(min_length=1, max_length=200, description="What is to be done, at most 200 characters."),
]
Description = Annotated[
    str, Field(max_length=1000, description="Details, at most 1000 characters.")
]
Search = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"\S",
        description="Only tasks whose title or description contains this text, ignoring case.",
    ),
]
Status = Annotated[
    Literal["all", "pending", "completed"], Field(description="Pending means not completed.")
]
Sort = Annotated[
    Literal["created", "title"], Field(description="By creation time, or by title ignoring case.")
]
Order = Annotated[
    Literal["asc", "desc"],
    Field(description="The default is desc (newest first) for created, and asc for title."),
]
PageSize = Annotated[
    Number, Field(ge=1, le=200, description="How many tasks a page holds at most.")
]
Cursor = Annotated[
    str,
    Field(
        min_length=1,
        description="The next_cursor of the previous page, with the same sort and order.",
    ),
]


async def _tasks_of_caller(ctx: Context[Any, Any]) -> TasksApi:
    tasks: TasksApi = ctx.request_context.lifespan_context.tasks_of(ctx)
    return tasks


Tasks = Annotated[TasksApi, Resolve(_tasks_of_caller)]


async def add_task(
    tasks: Tasks,
    title: Title,
    description: Description | None = None,
    completed: Annotated[bool, Field(description="Whether it is already done.")] = False,
) -> Task:
    """Add a task to the user's list and return it with its id."""
    body = {"title": title, "description": description, "completed": completed}
    return Task.model_validate(await tasks.request("POST", body=body))


async def list_tasks(
    tasks: Tasks,
    search: Search | None = None,
    status: Status = "all",
    sort: Sort = "created",
    order: Order | None = None,
    limit: PageSize = 50,
    cursor: Cursor | None = None,
) -> TaskPage:
    """List or search the user's tasks, one page at a time.

    Use it to find the id of a task before you change it. For numbers alone, use task_stats.
    """
    query = {"q": search, "status": status, "sort": sort, "order": order}
    query |= {"limit": str(limit), "cursor": cursor}
    given = {name: value for name, value in query.items() if value is not None}
    return TaskPage.model_validate(await tasks.request("GET", query=given))


async def get_task(tasks: Tasks, task_id: TaskId) -> Task:
    """Return one of the user's tasks."""
    return Task.model_validate(await tasks.request("GET", f"/{task_id}"))


async def update_task(
    tasks: Tasks,
    task_id: TaskId,
    title: Title | None = None,
    description: Description | None = None,
    clear_description: Annotated[bool, Field(description="Remove the description.")] = False,
) -> Task:
    """Change the title or the description of a task, and return it. Omitted fields do not change.

    To complete or reopen a task, use complete_task.
    """
    if clear_description and description:
        raise ToolError("description and clear_description contradict each other.")
    body: dict[str, str | None] = {"title": title, "description": description}
    body = {name: value for name, value in body.items() if value is not None}
    if clear_description:
        body["description"] = None
    return Task.model_validate(await tasks.request("PUT", f"/{task_id}", body=body))


async def complete_task(
    tasks: Tasks,
    task_id: TaskId,
    completed: Annotated[bool, Field(description="False reopens the task.")] = True,
) -> Task:
    """Mark a task as completed, or reopen it, and return it. Repeating it changes nothing more."""
    body = {"completed": completed}
    return Task.model_validate(await tasks.request("PATCH", f"/{task_id}/complete", body=body))


async def delete_task(tasks: Tasks, task_id: TaskId) -> Deleted:
    """Delete a task for good. It can't be restored; to tick it off, use complete_task."""
    await tasks.request("DELETE", f"/{task_id}")
    return Deleted(deleted=1)


async def clear_completed_tasks(tasks: Tasks) -> Deleted:
    """Delete every completed task of the user for good. Ask the user before you call it."""
    # A retry would count only the tasks that the first attempt left.
    cleared = await tasks.request("DELETE", query={"status": "completed"}, once=True)
    return Deleted.model_validate(cleared)


async def task_stats(tasks: Tasks) -> Stats:
    """Count the user's tasks: total, pending and completed."""
    return Stats.model_validate(await tasks.request("GET", "/stats"))


def _hints(*, reads: bool = False, destroys: bool = False, repeats: bool = True) -> ToolAnnotations:
    """Return hints about a tool. `repeats` says that a repeated call has no additional effect."""
    return ToolAnnotations(
        read_only_hint=reads,
        destructive_hint=destroys,
        idempotent_hint=repeats,
        open_world_hint=False,
    )


# A change overwrites the old text, which the specification calls destructive.
TOOLS: tuple[tuple[Callable[..., Any], str, ToolAnnotations], ...] = (
    (add_task, "Add a task", _hints(repeats=False)),
    (list_tasks, "List or search tasks", _hints(reads=True)),
    (get_task, "Show a task", _hints(reads=True)),
    (update_task, "Change a task", _hints(destroys=True)),
    (complete_task, "Complete or reopen a task", _hints()),
    (delete_task, "Delete a task", _hints(destroys=True)),
    (clear_completed_tasks, "Delete completed tasks", _hints(destroys=True)),
    (task_stats, "Count tasks", _hints(reads=True)),
)


def add_tools(server: MCPServer[Any]) -> None:
    """Register every tool."""
    for function, title, annotations in TOOLS:
        server.add_tool(function, title=title, annotations=annotations)
