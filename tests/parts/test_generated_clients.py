"""Clients generated from the served OpenAPI document with the generators' default settings.

Each client is compiled and runs every operation. Two values are special: a title of 150 emoji,
which is 300 UTF-16 units, and an id that does not fit 32 bits. tests/clients has a version of Zod
before 4.5, because those versions count UTF-16 units.
"""

import importlib
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.parts.node import run, succeeds
from tests.parts.parts import need
from tests.parts.snippets import in_module, snippet
from tests.support.serving import SECRET, connect
from tokens.verifier import make_token

pytestmark = pytest.mark.parts

LARGE_ID = 2**31 + 5
EMOJI = "🥛" * 150


@pytest.fixture
def large_id(postgres: URL, alice: str, base_url: str) -> int:
    """The id, larger than 32 bits, of a task that alice created long ago."""
    statement = """INSERT INTO tasks (id, user_id, title, created_at) OVERRIDING SYSTEM VALUE
        SELECT greatest(max(id), %s) + 1, %s, 'Large', '2020-01-01' FROM tasks RETURNING id"""
    with closing(connect(postgres)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (LARGE_ID, alice))
        [(task_id,)] = cursor.fetchall()
    return int(task_id)


HEY_API = ("@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk", "zod")
DOCUMENT = "./openapi.json"
ETAG_IMPORTS = 'import { getTask, updateTask } from "./hey-api/sdk.gen";'
ETAG_PARAMETERS = "user_id: string, task_id: number, body: { title: string }"


def test_typescript_clients_run_every_operation(folder: Path, alice: str, large_id: int) -> None:
    need("hey-api", "orval", "Zod", "TypeScript")
    made = folder / "generated"
    output = f"{made}/hey-api"
    succeeds(folder, "openapi-ts", "--input", DOCUMENT, "--output", output, "--plugins", *HEY_API)
    succeeds(folder, "orval", "--config", "generated/orval.config.cjs")
    code = snippet("docs/generated-clients.md", "getTask(")
    (made / "etag.ts").write_text(in_module(code, ETAG_IMPORTS, ETAG_PARAMETERS))
    succeeds(folder, "tsc", "--project", "generated")
    variables = {"USER_ID": alice, "TOKEN": make_token(alice, SECRET), "LARGE_ID": str(large_id)}
    for program in ("hey-api", "orval"):
        ran = run(folder, "node", f"generated/build/{program}.js", **variables)
        assert (ran.stdout, ran.stderr) == ("all operations\n", ""), program


def test_a_python_client_runs_every_operation(
    folder: Path, base_url: str, alice: str, large_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("openapi-python-client")
    made = folder / "python"
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    succeeds(folder, generator, "generate", "--path", DOCUMENT, "--output-path", str(made))
    succeeds(folder, sys.executable, "-m", "mypy", "--strict", f"{made}/task_management_api_client")
    monkeypatch.syspath_prepend(str(made))

    options = {"token": make_token(alice, SECRET), "raise_on_unexpected_status": True}
    with module("client").AuthenticatedClient(base_url=base_url, **options) as client:
        use_every_operation(client, alice, large_id)


def use_every_operation(client: Any, alice: str, large_id: int) -> None:
    models = module("models")

    def call(operation: str, *arguments: object, tag: str = "tasks", **options: object) -> Any:
        function = module(f"api.{tag}.{operation}").sync
        return function(*arguments, client=client, **options)

    task = call("create_task", alice, body=models.TaskCreate(title=EMOJI))
    assert (task.title, task.completed) == (EMOJI, False)
    assert call("get_task", alice, large_id).id == large_id
    page = call("list_tasks", alice, limit=10, completed=False)
    assert [each.id for each in page.tasks] == [task.id, large_id]
    one = (alice, task.id)
    cleared = call("update_task", *one, body=models.TaskUpdate(description=None), if_match="*")
    assert (cleared.title, cleared.description) == (EMOJI, None)
    renamed = call("patch_task", *one, body=models.TaskUpdate(title="Buy milk"))
    assert renamed.title == "Buy milk"
    done = call("toggle_task", *one, body=models.TaskCompletion(completed=True))
    assert (done.completed, call("toggle_task", *one).completed) == (True, False)
    assert module("api.tasks.delete_task").sync_detailed(*one, client=client).status_code == 204
    assert call("get_task", *one).code == "TASK_NOT_FOUND"
    assert call("get_health", tag="health").status == "healthy"
    assert call("get_liveness", tag="health").status == "alive"


def module(name: str) -> Any:
    return importlib.import_module(f"task_management_api_client.{name}")
