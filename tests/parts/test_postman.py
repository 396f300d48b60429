"""Postman: the OpenAPI document as Postman imports it, and the collection in postman/."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from config import ROOT
from main import create_app
from tests.parts.node import run, succeeds
from tests.parts.parts import need
from tests.support.services import database_of_its_own
from tests.support.serving import SECRET, make_settings, serving
from tokens.verifier import make_token

pytestmark = pytest.mark.parts

SHIPPED = ROOT / "postman"
COLLECTION = "task-management-api.postman_collection.json"
ENVIRONMENT = "task-management-api.postman_environment.json"
# The user of the examples in the OpenAPI document. Their task has the id 1, as does the first task
# that the tests create.
USER = "user_123"
EXPECTED = {
    "Create a task": 201,
    "List tasks": 200,
    "Count tasks": 200,
    "Clear completed tasks, or erase all": 200,
    "Get a task": 200,
    "Update a task": 200,
    "Update a task (the same as PUT)": 200,
    "Set or toggle completion": 200,
    "Delete a task": 204,
    "Check the service and its database": 200,
    "Check the process alone": 200,
}


@pytest.fixture
def service(postgres: URL) -> Iterator[str]:
    """A service without any tasks, as after its first start."""
    with database_of_its_own(postgres) as url, serving(create_app(make_settings(url))) as address:
        yield address


def test_an_imported_document_runs_without_changes(folder: Path, service: str) -> None:
    """Every optional parameter is enabled and has its example value. Only the token is set."""
    need("openapi-to-postmanv2", "newman")
    (folder / "openapi.json").write_text(httpx.get(f"{service}/openapi.json").text)
    succeeds(folder, "node", "postman.cjs", "openapi.json", "imported.json")
    imported = json.loads((folder / "imported.json").read_text())
    assert imported["variable"] == [{"key": "baseUrl", "value": service}]
    assert '"disabled": true' not in json.dumps(requests_of(imported))
    imported["item"] = deleting_last(imported)
    text = json.dumps(imported)
    for title in ("Buy bread", "Buy milk"):  # another body must not get the same Idempotency-Key
        (folder / "imported.json").write_text(text.replace("Buy milk", title))
        created = newman(folder, "imported.json", "--folder", "Create a task")
        assert created == {"Create a task": 201}
    assert newman(folder, "imported.json") == EXPECTED


def test_the_shipped_collection_runs_twice(folder: Path, service: str) -> None:
    need("newman")
    variables = ("--env-var", f"baseUrl={service}")
    files = (str(SHIPPED / COLLECTION), "--environment", str(SHIPPED / ENVIRONMENT))
    for _ in range(2):
        assert newman(folder, *files, *variables) == EXPECTED


def test_the_shipped_collection_is_what_the_script_makes(folder: Path, document: str) -> None:
    need("openapi-to-postmanv2")
    (folder / "openapi.json").write_text(document)
    succeeds(folder, "node", "postman.cjs", "openapi.json", COLLECTION, "--shipped")
    for name in (COLLECTION, ENVIRONMENT):
        made = (folder / name).read_text()
        assert made == (SHIPPED / name).read_text(), "run scripts/postman"


@pytest.fixture
def document(app: Any) -> str:
    return json.dumps(app.openapi())


def newman(folder: Path, *words: str) -> dict[str, int]:
    """Run a collection with USER's token, check that no test failed, and return the statuses."""
    token = make_token(USER, SECRET)
    variables = ("--env-var", f"token={token}", "--env-var", f"bearerToken={token}")
    report = ("--reporters", "json", "--reporter-json-export", "report.json")
    done = run(folder, "newman", "run", *words, *variables, *report)
    result = json.loads((folder / "report.json").read_text())["run"]
    assert (done.returncode, result["failures"]) == (0, [])
    return {each["item"]["name"]: each["response"]["code"] for each in result["executions"]}


def requests_of(part: Any) -> list[Any]:
    """Return the requests in all folders of a collection."""
    if "item" in part:
        return [request for item in part["item"] for request in requests_of(item)]
    return [part]


def deleting_last(collection: Any) -> list[Any]:
    """Return the requests of a collection with the deletions last, as a person sends them.

    The task is deleted before the request that clears completed tasks, which finds none.
    """

    def place(request: Any) -> int:
        if request["request"]["method"] != "DELETE":
            return 0
        return 2 if request["name"].startswith("Clear") else 1

    return sorted(requests_of(collection), key=place)
