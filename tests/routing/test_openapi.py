"""The OpenAPI document says what the service does, and its pages need no other host."""

import asyncio
import http.client
import json
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

import errors
import schemas
from models import tasks
from tests.support.examples import example_of
from tests.support.processes import run
from tests.support.serving import bearer

TASKS = "/api/{user_id}/tasks"
TASK = TASKS + "/{task_id}"

INPUT = {
    400: {"VALIDATION_ERROR"},
    401: {"NOT_AUTHENTICATED", "INVALID_TOKEN", "TOKEN_EXPIRED"},
    403: {"FORBIDDEN"},
    408: {"REQUEST_TIMEOUT"},
    413: {"PAYLOAD_TOO_LARGE"},
    429: {"TOO_MANY_REQUESTS"},
    431: {"HEADERS_TOO_LARGE"},
    500: {"INTERNAL_ERROR"},
    503: {"DATABASE_UNAVAILABLE", "OVERLOADED", "AUTH_UNAVAILABLE"},
}
ABSENT = {404: {"TASK_NOT_FOUND"}}
REUSED = {409: {"IDEMPOTENCY_KEY_REUSED"}}
STALE = {412: {"PRECONDITION_FAILED"}}

# operation: its path and method, its success, and its errors with their codes
OPERATIONS: dict[str, tuple[str, str, int, str | None, dict[int, set[str]]]] = {
    "listTasks": (TASKS, "get", 200, "TaskListResponse", INPUT),
    "createTask": (TASKS, "post", 201, "TaskResponse", INPUT | ABSENT | REUSED),
    "getTask": (TASK, "get", 200, "TaskResponse", INPUT | ABSENT),
    "updateTask": (TASK, "put", 200, "TaskResponse", INPUT | ABSENT | STALE),
    "deleteTask": (TASK, "delete", 204, None, INPUT | ABSENT | STALE),
    "toggleTask": (TASK + "/complete", "patch", 200, "TaskResponse", INPUT | ABSENT | STALE),
}
HEADERS = {201: "Location", 401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
each_operation = pytest.mark.parametrize("name", OPERATIONS)
ERRORS = {
    error.code: error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.APIError) and hasattr(error, "code")
}


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Any:
    return json.loads(json.dumps(app.openapi()))


def operation(document: Any, name: str) -> Any:
    path, method, *_ = OPERATIONS[name]
    return document["paths"][path][method]


def json_of(answer: Any) -> Any:
    return answer["content"]["application/json"]


def model_of(answer: Any) -> str:
    return str(json_of(answer)["schema"]["$ref"]).removeprefix("#/components/schemas/")


def test_it_is_served_and_names_the_service(anonymous: httpx.Client, document: Any) -> None:
    assert anonymous.get("/openapi.json").json() == document
    assert document["openapi"].startswith("3.1")
    assert document["info"].keys() >= {"title", "version", "description", "contact", "license"}
    assert document["servers"] == [{"url": "/", "description": "This service"}]


def test_every_operation_has_a_name_and_a_summary_of_its_own(document: Any) -> None:
    found = [part for path in document["paths"].values() for part in path.values()]
    names = [part["operationId"] for part in found]
    assert sorted(names) == sorted([*OPERATIONS, "getHealth", "getLiveness"])
    assert len({part["summary"] for part in found}) == len(found)
    assert all(part["description"] and part["tags"] for part in found)


@each_operation
def test_an_operation_documents_every_answer_it_can_give(document: Any, name: str) -> None:
    _, _, success, model, failures = OPERATIONS[name]
    answers = operation(document, name)["responses"]
    unchanged = {"304"} if name == "getTask" else set()
    assert set(answers) == {str(status) for status in (success, *failures)} | unchanged
    if model is None:
        assert "content" not in answers[str(success)]
    else:
        assert model_of(answers[str(success)]) == model
    for status, codes in failures.items():
        answer = answers[str(status)]
        assert set(json_of(answer)["examples"]) == codes
        assert all(f"`{code}`" in answer["description"] for code in codes)
        expected = "ValidationErrorResponse" if status == 400 else "ErrorResponse"
        assert model_of(answer) == expected
    for status, header in HEADERS.items():
        if str(status) in answers:
            assert header in answers[str(status)]["headers"]
    for code in {str(success), *unchanged}:
        assert ("ETag" in answers[code].get("headers", {})) == (model == "TaskResponse")
    assert "content" not in answers.get("304", {})


@each_operation
def test_every_example_of_an_error_is_what_would_be_answered(document: Any, name: str) -> None:
    for status in OPERATIONS[name][-1]:
        answer = operation(document, name)["responses"][str(status)]
        for code, example in json_of(answer)["examples"].items():
            error = ERRORS[code]
            body = {"detail": error.detail, "code": code}
            assert example["value"].items() >= body.items()
            assert error.status == status
            model = getattr(schemas, model_of(answer))
            assert model.model_validate(example["value"]).model_dump() == example["value"]


def test_a_client_can_tell_every_code_apart(document: Any) -> None:
    models = document["components"]["schemas"]
    invalid = models["ValidationErrorResponse"]["properties"]["code"]["enum"]
    other = models["ErrorResponse"]["properties"]["code"]["enum"]
    assert invalid == ["VALIDATION_ERROR"]
    assert sorted(invalid + other) == sorted(ERRORS)


@each_operation
def test_every_operation_on_tasks_requires_the_bearer_token(document: Any, name: str) -> None:
    scheme = document["components"]["securitySchemes"]["bearerToken"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert operation(document, name)["security"] == [{"bearerToken": []}]


def test_health_needs_no_token_and_documents_both_answers(document: Any) -> None:
    health, live = document["paths"]["/health"]["get"], document["paths"]["/health/live"]["get"]
    assert health["security"] == live["security"] == []
    assert set(live["responses"]) == {"200", "400", "408", "431", "500"}
    assert set(health["responses"]) == {*live["responses"], "503"}
    assert model_of(health["responses"]["200"]) == "HealthResponse"
    assert model_of(health["responses"]["503"]) == "UnhealthyResponse"
    assert "`DATABASE_UNAVAILABLE`" in health["responses"]["503"]["description"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("getTask", "If-None-Match"),
        ("updateTask", "If-Match"),
        ("deleteTask", "If-Match"),
        ("toggleTask", "If-Match"),
    ],
)
def test_a_condition_is_an_optional_header(document: Any, name: str, header: str) -> None:
    found = header_of(document, name)
    assert (found["name"], found["required"]) == (header, False)
    for value, valid in {"*": True, 'W/"a", "b,c"': True, "": False, "*, *": False}.items():
        assert bool(re.search(found["schema"]["pattern"], value)) is valid


def header_of(document: Any, name: str) -> Any:
    """The one header among the parameters of an operation."""
    parameters = operation(document, name)["parameters"]
    [found] = [parameter for parameter in parameters if parameter["in"] == "header"]
    return found


def test_the_key_of_a_create_is_an_optional_header(document: Any) -> None:
    found = header_of(document, "createTask")
    assert (found["name"], found["required"]) == ("Idempotency-Key", False)
    schema = found["schema"]
    assert (schema["type"], schema["maxLength"]) == ("string", 255)
    for value, valid in {"!~": True, schema["examples"][0]: True, "": False, "a b": False}.items():
        assert bool(re.search(schema["pattern"], value)) is valid
    created = operation(document, "createTask")["responses"]["201"]
    assert set(created["headers"]) == {"Location", "ETag", "Idempotency-Replayed", "X-Request-ID"}


def test_there_is_no_422(document: Any) -> None:
    text = json.dumps(document)
    assert not re.search(r'"422"|HTTPValidationError|"ValidationError"', text)


@pytest.mark.parametrize("name", ["TaskCreate", "TaskUpdate", "TaskResponse", "TaskListResponse"])
def test_the_example_of_every_body_is_valid_and_whole(document: Any, name: str) -> None:
    example = example_of({"$ref": name}, document)
    model = getattr(schemas, name)
    assert set(example) == set(model.model_fields)
    assert model.model_validate_json(json.dumps(example)).model_dump_json()


def test_the_examples_are_accepted_when_they_are_sent(client: httpx.Client, document: Any) -> None:
    headers = bearer("user_123")
    created = client.post(
        "/api/user_123/tasks", json=example_of({"$ref": "TaskCreate"}, document), headers=headers
    )
    assert created.status_code == 201
    example = example_of({"$ref": "TaskUpdate"}, document)
    updated = client.put(created.headers["location"], json=example, headers=headers)
    assert updated.json().items() >= example.items()
    query = {
        parameter["name"]: parameter["schema"]["examples"][0]
        for parameter in operation(document, "listTasks")["parameters"]
        if "examples" in parameter["schema"]
    }
    assert query.pop("user_id") == "user_123"
    assert client.get("/api/user_123/tasks", params=query, headers=headers).status_code == 200


def test_fields_of_an_update_have_no_defaults(document: Any) -> None:
    """A generated client would send them, and change what nobody asked it to."""
    update = document["components"]["schemas"]["TaskUpdate"]
    assert "default" not in json.dumps(update)
    fields = update["properties"].items()
    nullable = [name for name, field in fields if '"null"' in json.dumps(field)]
    assert nullable == [name for name, _ in fields if tasks.c[name].nullable] != []
    assert "required" not in update


@pytest.mark.parametrize(("name", "least", "most"), [("limit", 1, 1000), ("task_id", 1, 2**63 - 1)])
def test_the_bounds_of_a_number_are_exact(document: Any, name: str, least: int, most: int) -> None:
    """Each value that the document allows is accepted, so that the next one must not be."""
    [parameter] = [
        parameter
        for parameter in operation(document, "listTasks" if name == "limit" else "getTask")[
            "parameters"
        ]
        if parameter["name"] == name
    ]
    schema = parameter["schema"]
    [number] = [part for part in schema.get("anyOf", [schema]) if part["type"] != "null"]
    assert number["type"] == "integer"
    assert number["minimum"] == least
    if "exclusiveMaximum" in number:
        assert int(number["exclusiveMaximum"]) == most + 1
    else:
        assert int(number["maximum"]) == most


def test_no_parameter_may_be_null(document: Any) -> None:
    """There is no null in a URL, and `order=null` is refused."""
    for name in OPERATIONS:
        for parameter in operation(document, name)["parameters"]:
            assert '"null"' not in json.dumps(parameter["schema"]), parameter["name"]


def test_making_the_document_prints_nothing() -> None:
    made = run("-c", "import main; main.app.openapi()")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_docs_page_loads_nothing_from_another_host(anonymous: httpx.Client, page: str) -> None:
    answer = anonymous.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", answer.text)
    needed = re.findall(r"""(?:src|href|spec-url|url)["']?\s*[=:]\s*["']([^"']+)""", answer.text)
    assert "/openapi.json" in needed
    for address in needed:
        assert anonymous.get(address).status_code == 200, address


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_docs_page_forbids_requests_to_another_host(anonymous: httpx.Client, page: str) -> None:
    policy = anonymous.get(page).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    sources = {source for rule in rules.values() for source in rule.split()}
    assert sources <= {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}


def test_redoc_does_not_fetch_its_makers_logo(anonymous: httpx.Client) -> None:
    script = anonymous.get("/docs/assets/redoc.standalone.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.content) > 500_000
    assert not re.search(r"cdn\.redoc|fonts\.g|unpkg|jsdelivr", script.text)


@pytest.mark.parametrize(
    "name",
    [
        "no-such-file.js",
        "",
        "..",
        "../core.py",
        "..%2fcore.py",
        "%2e%2e%2fcore.py",
        "%2e%2e/%2e%2e/main.py",
        "..%5ccore.py",
        "swagger-ui.css%00.js",
        "%2fetc%2fpasswd",
        "/etc/passwd",
    ],
)
def test_no_other_file_can_be_had(base_url: str, name: str) -> None:
    connection = http.client.HTTPConnection(str(urlsplit(base_url).netloc))
    connection.request("GET", f"/docs/assets/{name}")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    expected = {"detail": "There is nothing at this path.", "code": "NOT_FOUND"}
    assert (answer.status, body) == (404, expected)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_behind_a_path_of_a_proxy_the_pages_find_their_files(app: FastAPI, page: str) -> None:
    async def get() -> str:
        transport = httpx.ASGITransport(app, root_path="/tasks-service")
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
            return (await client.get(f"/tasks-service{page}")).text

    text = asyncio.run(get())
    assert "/tasks-service/openapi.json" in text
    assert not re.search(r"""["'](/docs/assets|/openapi.json)""", text)
