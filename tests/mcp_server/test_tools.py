"""Every tool with the real service, called by the SDK's client over both transports."""

import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from mcp import Client

from mcp_server.server import stdio_server
from mcp_server.settings import StdioSettings
from tests.mcp_server.clients import ERAS, call, error_of, over_http, over_stdio, run, token_of

TRANSPORTS = [("http", ERAS[0]), ("http", ERAS[1]), ("stdio", "auto")]
EXPIRED = "The token has expired; log in again. Ask the user to sign in again or to replace"


@pytest.fixture(params=TRANSPORTS, ids="-".join)
def connect(
    request: pytest.FixtureRequest, base_url: str, mcp_url: str, alice: str
) -> AbstractAsyncContextManager[Client]:
    """Alice's client over each transport."""
    transport, mode = request.param
    if transport == "http":
        return over_http(mcp_url, token_of(alice), mode)
    return over_stdio(base_url, token_of(alice), mode)


def test_a_session_that_uses_every_tool(connect: AbstractAsyncContextManager[Client]) -> None:
    async def session() -> None:
        async with connect as client:
            milk = await call(client, "add_task", title="Buy milk", description="Two litres")
            tax = await call(client, "add_task", title="File taxes", completed=True)
            assert (tax["completed"], milk["description"]) == (True, "Two litres")

            first = await call(client, "list_tasks", limit=1, sort="title")
            assert (first["tasks"], first["count"]) == ([milk], 1)
            cursor = first["next_cursor"]
            second = await call(client, "list_tasks", limit=1, sort="title", cursor=cursor)
            assert (second["tasks"], second["next_cursor"]) == ([tax], None)
            pending = await call(client, "list_tasks", status="pending")
            assert pending["tasks"] == [milk]

            milk = await call(client, "update_task", task_id=milk["id"], title="Buy oat milk")
            assert (milk["title"], milk["description"]) == ("Buy oat milk", "Two litres")
            milk = await call(client, "update_task", task_id=milk["id"], clear_description=True)
            assert milk["description"] is None
            for _ in range(2):
                milk = await call(client, "complete_task", task_id=milk["id"])
                assert milk["completed"] is True
            reopened = await call(client, "complete_task", task_id=milk["id"], completed=False)
            assert await call(client, "get_task", task_id=milk["id"]) == reopened

            assert (await call(client, "list_tasks", search="MILK"))["tasks"] == [reopened]
            counts = {"total": 2, "pending": 1, "completed": 1}
            assert await call(client, "task_stats") == counts
            assert await call(client, "clear_completed_tasks") == {"deleted": 1}
            assert (await call(client, "list_tasks"))["tasks"] == [reopened]
            assert await call(client, "delete_task", task_id=milk["id"]) == {"deleted": 1}
            gone = await error_of(client, "get_task", task_id=milk["id"])
            assert gone.endswith("There is no such task.")

    run(session)


def test_the_assistant_is_told_that_the_configured_token_has_expired(
    base_url: str, alice: str
) -> None:
    async def session() -> str:
        async with Client(server) as client:
            return await error_of(client, "list_tasks")

    values: dict[str, Any] = {
        "tasks_api_url": base_url,
        "tasks_token": token_of(alice, exp=time.time() - 60),
    }
    server = stdio_server(StdioSettings(_env_file=None, **values))
    assert EXPIRED in run(session)


def test_the_assistant_is_told_the_detail_of_an_error(
    mcp_url: str, alice: str, bob: str, create: Any
) -> None:
    task = create()

    async def session() -> None:
        async with over_http(mcp_url, token_of(bob)) as client:
            foreign = await error_of(client, "delete_task", task_id=task["id"])
            assert foreign == "Error executing tool delete_task: These are not your tasks."
            blank = await error_of(client, "add_task", title="  ")
            assert blank.endswith("title must not be blank.")
            cursor = await error_of(client, "list_tasks", cursor="garbage")
            assert "cursor must be the next_cursor" in cursor

    run(session)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("add_task", {}, "title is required."),
    ("add_task", {"title": 5}, "title must be a string."),
    ("add_task", {"title": "x" * 201}, "title must have at most 200 characters."),
    (
        "add_task",
        {"title": "x", "description": "x" * 1001},
        "description must have at most 1000 characters.",
    ),
    ("add_task", {"title": "x", "completed": "perhaps"}, "completed must be true or false."),
    ("list_tasks", {"limit": 201}, "limit must be at most 200."),
    ("list_tasks", {"status": "open"}, "status must be 'all', 'pending' or 'completed'."),
    ("list_tasks", {"search": ""}, "search must not be empty."),
    ("list_tasks", {"search": " "}, "search must not be blank."),
    ("list_tasks", {"limit": True}, "limit must be a whole number."),
    ("delete_task", {"task_id": True}, "task_id must be a whole number."),
    ("get_task", {"task_id": 0}, "task_id must be at least 1."),
    ("get_task", {"task_id": "1/../2"}, "task_id must be a whole number."),
    ("get_task", {"task_id": 1.5}, "task_id must be a whole number."),
    (
        "add_task",
        {"title": "", "description": 1},
        "title must not be empty. description must be a string.",
    ),
    (
        "update_task",
        {"task_id": 1, "completed": True},
        "Unknown argument: completed; the arguments are task_id, title, description,"
        " clear_description.",
    ),
    (
        "update_task",
        {"task_id": 1, "description": "Two litres", "clear_description": True},
        "Error executing tool update_task: description and clear_description contradict each"
        " other.",
    ),
    ("task_stats", {"status": "all"}, "Unknown argument: status; there are no arguments."),
    ("task_stats", {"a\nb": 1}, "Unknown argument; there are no arguments."),
]


@pytest.mark.parametrize(("tool", "arguments", "text"), WRONG)
def test_wrong_arguments_are_refused_in_a_sentence(
    tool: str, arguments: dict[str, Any], text: str, mcp_url: str, alice: str
) -> None:
    async def session() -> str:
        async with over_http(mcp_url, token_of(alice)) as client:
            return await error_of(client, tool, **arguments)

    assert run(session) == text


def test_the_schemas_allow_no_other_arguments(mcp_url: str, alice: str) -> None:
    async def session() -> list[Any]:
        async with over_http(mcp_url, token_of(alice)) as client:
            return [tool.input_schema for tool in (await client.list_tools()).tools]

    assert {schema["additionalProperties"] for schema in run(session)} == {False}
