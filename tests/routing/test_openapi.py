"""The OpenAPI document is correct, and the docs pages need no other host."""

import asyncio
import http.client
import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, create_model

import errors
import schemas
from config import ROOT, Settings
from main import create_app
from models import tasks
from routing import openapi
from routing.openapi_examples import add_example
from tests.support.examples import example_of
from tests.support.processes import run
from tests.support.serving import bearer

COLLECTION = ROOT / "postman/task-management-api.postman_collection.json"
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
    503: {"DATABASE_UNAVAILABLE", "DATABASE_NOT_MIGRATED", "OVERLOADED", "AUTH_UNAVAILABLE"},
}
ABSENT = {404: {"TASK_NOT_FOUND"}}
REUSED = {409: {"IDEMPOTENCY_KEY_REUSED"}}
CODED = {415: {"UNSUPPORTED_MEDIA_TYPE"}}
STALE = {412: {"PRECONDITION_FAILED"}}

# operation: path, method, status and model of a success, and the error codes of each status
OPERATIONS: dict[str, tuple[str, str, int, str | None, dict[int, set[str]]]] = {
    "listTasks": (TASKS, "get", 200, "TaskListResponse", INPUT),
    "getTaskStats": (TASKS + "/stats", "get", 200, "TaskStatsResponse", INPUT),
    "clearTasks": (TASKS, "delete", 200, "TasksDeletedResponse", INPUT),
    "createTask": (TASKS, "post", 201, "TaskResponse", INPUT | ABSENT | REUSED | CODED),
    "getTask": (TASK, "get", 200, "TaskResponse", INPUT | ABSENT),
    "updateTask": (TASK, "put", 200, "TaskResponse", INPUT | ABSENT | STALE | CODED),
    "patchTask": (TASK, "patch", 200, "TaskResponse", INPUT | ABSENT | STALE | CODED),
    "deleteTask": (TASK, "delete", 204, None, INPUT | ABSENT | STALE),
    "toggleTask": (
        TASK + "/complete",
        "patch",
        200,
        "TaskResponse",
        INPUT | ABSENT | STALE | CODED,
    ),
}
FASTAPIS = {"HTTPValidationError", "ValidationError"}
HEADERS = {201: "Location", 401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
each_operation = pytest.mark.parametrize("name", OPERATIONS)
ERRORS = {
    error.code: error
    for error in reversed(vars(errors).values())  # the first class with a code is documented
    if isinstance(error, type) and issubclass(error, errors.APIError) and hasattr(error, "code")
}


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Any:
    return json.loads(json.dumps(app.openapi()))


def operation(document: Any, name: str) -> Any:
    path, method, *_ = OPERATIONS[name]
    return document["paths"][path][method]


def json_of(response: Any) -> Any:
    return response["content"]["application/json"]


def model_of(response: Any) -> str:
    return str(json_of(response)["schema"]["$ref"]).removeprefix("#/components/schemas/")


def test_the_document_is_served_with_the_address_of_the_service(
    anonymous: httpx.Client, document: Any
) -> None:
    server = str(anonymous.base_url).rstrip("/")
    served = anonymous.get("/openapi.json").json()
    assert served == document | {"servers": [{"url": server}]}
    assert document["openapi"].startswith("3.1")
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "contact" not in document["info"]
    assert "example.com" not in json.dumps(document)


def test_the_contact_is_taken_from_the_settings(settings: Settings) -> None:
    page = "https://tasks.test/support"
    app = create_app(settings.model_copy(update={"contact_url": page}))
    assert app.openapi()["info"]["contact"] == {"url": page}


@pytest.mark.parametrize(
    ("headers", "root_path", "expected"),
    [
        ({"host": "api.test"}, "", "https://api.test"),
        ({"host": "api.test:8443"}, "/tasks-service", "https://api.test:8443/tasks-service"),
        ({"host": "api.test", "x-forwarded-proto": "https"}, "", "https://api.test"),
        ({"host": "api.test", "x-forwarded-proto": "http"}, "", "/"),
        ({"host": "api.test", "x-forwarded-proto": "http"}, "/tasks-service", "/tasks-service"),
    ],
)
def test_the_server_is_the_address_that_the_client_used(
    app: FastAPI, headers: dict[str, str], root_path: str, expected: str
) -> None:
    document = fetched(app, f"{root_path}/openapi.json?a=b", root_path, headers)
    assert json.loads(document)["servers"] == [{"url": expected}]


def test_servers_of_the_application_are_kept(settings: Settings) -> None:
    app = create_app(settings)
    app.servers = [{"url": "https://api.test"}]
    assert json.loads(fetched(app, "/openapi.json"))["servers"] == app.servers
    under_path = json.loads(fetched(app, "/tasks-service/openapi.json", "/tasks-service"))
    assert under_path["servers"] == [{"url": "/tasks-service"}, *app.servers]


def test_the_document_of_the_pages_has_a_relative_server_and_only_required_examples(
    anonymous: httpx.Client,
) -> None:
    """A proxy may have another host name, and Swagger UI sends every `example` that it finds."""
    served = anonymous.get("/docs/openapi.json").json()
    assert served["servers"] == [{"url": "/"}]
    parameters = [
        parameter
        for path in served["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
    ]
    for parameter in parameters:
        assert ("example" in parameter) is parameter["required"], parameter["name"]


def test_the_description_of_the_token_says_what_to_paste(document: Any) -> None:
    described = document["components"]["securitySchemes"]["bearerToken"]["description"]
    assert "without the word Bearer" in described
    assert "uv run auth.py" in described


def test_every_operation_has_a_unique_name_and_summary(document: Any) -> None:
    found = [part for path in document["paths"].values() for part in path.values()]
    names = [part["operationId"] for part in found]
    assert sorted(names) == sorted([*OPERATIONS, "getHealth", "getLiveness"])
    assert len({part["summary"] for part in found}) == len(found)
    assert all(part["description"] and part["tags"] for part in found)


@each_operation
def test_an_operation_documents_every_response(document: Any, name: str) -> None:
    _, _, success, model, failures = OPERATIONS[name]
    responses = operation(document, name)["responses"]
    unchanged = {"304"} if name == "getTask" else set()
    assert set(responses) == {str(status) for status in (success, *failures)} | unchanged
    if model is None:
        assert "content" not in responses[str(success)]
    else:
        assert model_of(responses[str(success)]) == model
    for status, codes in failures.items():
        response = responses[str(status)]
        assert set(json_of(response)["examples"]) == codes
        assert all(f"`{code}`" in response["description"] for code in codes)
        expected = "ValidationErrorResponse" if status == 400 else "ErrorResponse"
        assert model_of(response) == expected
    for status, header in HEADERS.items():
        if str(status) in responses:
            assert header in responses[str(status)]["headers"]
    for code in {str(success), *unchanged}:
        assert ("ETag" in responses[code].get("headers", {})) == (model == "TaskResponse")
    assert "content" not in responses.get("304", {})


@each_operation
def test_every_example_of_an_error_is_the_real_body(document: Any, name: str) -> None:
    for status in OPERATIONS[name][-1]:
        response = operation(document, name)["responses"][str(status)]
        for code, example in json_of(response)["examples"].items():
            error = ERRORS[code]
            assert example["value"] == error.example()
            assert example["value"]["code"] == code
            assert error.status == status
            model = getattr(schemas, model_of(response))
            assert model.model_validate(example["value"]).model_dump() == example["value"]


def test_the_models_of_errors_list_every_code(document: Any) -> None:
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


def test_health_needs_no_token_and_documents_its_responses(document: Any) -> None:
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
        ("patchTask", "If-Match"),
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
    """Return the only header parameter of an operation."""
    parameters = operation(document, name)["parameters"]
    [found] = [parameter for parameter in parameters if parameter["in"] == "header"]
    return found


def test_the_key_of_a_create_is_an_optional_header(document: Any) -> None:
    found = header_of(document, "createTask")
    assert (found["name"], found["required"]) == ("Idempotency-Key", False)
    schema = found["schema"]
    assert schema["examples"] == ["{{$guid}}"]  # Postman fills in another value for each request
    assert (schema["type"], schema["maxLength"]) == ("string", 255)
    for value, valid in {"!~": True, schema["examples"][0]: True, "": False, "a b": False}.items():
        assert bool(re.search(schema["pattern"], value)) is valid
    created = operation(document, "createTask")["responses"]["201"]
    assert set(created["headers"]) == {"Location", "ETag", "Idempotency-Replayed", "X-Request-ID"}


def test_the_postman_collection_has_every_operation_and_parameter(document: Any) -> None:
    """`scripts/postman` generates it. tests/parts/test_postman.py compares the rest."""
    collection = json.loads(COLLECTION.read_text())
    requests = [item["request"] for folder in collection["item"] for item in folder["item"]]
    found = {
        (request["method"].lower(), re.sub(r":(\w+)", r"{\1}", "/".join(request["url"]["path"]))): {
            *(part["key"] for part in request["url"]["variable"] + request["url"]["query"]),
            *(header["key"] for header in request["header"]),
        }
        - {"Accept", "Content-Type"}
        for request in requests
    }
    assert found == {
        (method, path.removeprefix("/")): {each["name"] for each in operation.get("parameters", ())}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_the_document_has_no_422(document: Any) -> None:
    text = json.dumps(document)
    assert not re.search(r'"422"|HTTPValidationError|"ValidationError"', text)


@pytest.mark.parametrize(
    "name", ["TaskCreate", "TaskUpdate", "TaskCompletion", "TaskResponse", "TaskListResponse"]
)
def test_the_example_of_every_body_is_valid_and_complete(document: Any, name: str) -> None:
    example = example_of({"$ref": name}, document)
    model = getattr(schemas, name)
    assert set(example) == set(model.model_fields)
    assert model.model_validate_json(json.dumps(example)).model_dump_json()


def test_the_example_of_a_body_may_come_from_one_part_of_a_union() -> None:
    due_date = {"anyOf": [{"type": "null"}, {"type": "string", "examples": ["2026-01-31"]}]}
    body = {"content": {"application/json": {"schema": {"properties": {"due_date": due_date}}}}}
    add_example(body, {})
    assert json_of(body)["example"] == {"due_date": "2026-01-31"}


def test_the_service_accepts_the_examples(client: httpx.Client, document: Any) -> None:
    headers = bearer("user_123")
    created = client.post(
        "/api/user_123/tasks", json=example_of({"$ref": "TaskCreate"}, document), headers=headers
    )
    assert created.status_code == 201
    example = example_of({"$ref": "TaskUpdate"}, document)
    updated = client.put(created.headers["location"], json=example, headers=headers)
    assert updated.json().items() >= example.items()
    query = example_parameters(document, "listTasks", "query")
    assert client.get("/api/user_123/tasks", params=query, headers=headers).status_code == 200


@each_operation
def test_all_examples_of_an_operation_can_be_sent_together(
    client: httpx.Client, document: Any, name: str
) -> None:
    """Postman sends all of them after an import of the document."""
    path, method, success, *_ = OPERATIONS[name]
    headers = bearer("user_123")
    location = "/api/user_123/tasks"
    task = client.post(location, json={"title": "Buy milk"}, headers=headers).json()
    headers |= example_parameters(document, name, "header")
    body = operation(document, name).get("requestBody")
    response = client.request(
        method,
        path.format(user_id="user_123", task_id=task["id"]),
        params=example_parameters(document, name, "query"),
        headers=headers,
        json=json_of(body)["example"] if body else None,
    )
    assert response.status_code == success, response.text


def example_parameters(document: Any, name: str, place: str) -> dict[str, Any]:
    """Return the default, or else the example, of each parameter of an operation."""
    schemas = {
        each["name"]: each["schema"]
        for each in operation(document, name)["parameters"]
        if each["in"] == place
    }
    values = {
        name: schema.get("default", example_of(schema, document))
        for name, schema in schemas.items()
    }
    return {
        name: str(value).lower() if type(value) is bool else value for name, value in values.items()
    }


def test_path_parameters_come_first_in_the_order_of_the_path(document: Any) -> None:
    """Generated functions have their arguments in this order."""
    for path, operations in document["paths"].items():
        parts = re.findall(r"{(\w+)}", path)
        for operation in operations.values():
            names = [parameter["name"] for parameter in operation.get("parameters", ())]
            assert names[: len(parts)] == parts


def test_response_schemas_have_no_limits_that_clients_may_check_differently(
    document: Any,
) -> None:
    """Zod before 4.5 counts UTF-16 units, and a pattern may differ in another language."""
    responses = [
        response["content"]
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        if "content" in response
    ]
    for schema in reachable(responses, document):
        assert not schema.keys() & {"maxLength", "minLength", "pattern", "maximum"}, schema


def test_no_integer_has_a_format(document: Any) -> None:
    """For int64, some generators use bigint, which JSON.stringify refuses."""
    schemas = [part for part in reachable(document, document) if part.get("type") == "integer"]
    assert len(schemas) > 3
    assert not any("format" in schema for schema in schemas)


def reachable(part: Any, document: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in `part` and in the models to which it refers."""
    if isinstance(part, dict):
        yield part
        if "$ref" in part:
            name = part["$ref"].removeprefix("#/components/schemas/")
            yield from reachable(document["components"]["schemas"].get(name, {}), document)
    for child in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        yield from reachable(child, document)


def test_the_body_of_a_toggle_is_optional_but_not_nullable(document: Any) -> None:
    body = operation(document, "toggleTask")["requestBody"]
    assert not body.get("required")
    assert model_of(body) == "TaskCompletion"


def test_the_default_of_a_field_in_a_request_is_only_in_its_description(document: Any) -> None:
    """openapi-typescript would make a field with a `default` required."""
    create = document["components"]["schemas"]["TaskCreate"]
    assert create["required"] == ["title"]
    assert "default" not in json.dumps(create["properties"])
    assert create["properties"]["completed"]["description"].endswith("Default: false.")


def test_fields_of_an_update_have_no_defaults(document: Any) -> None:
    """A generated client would send the defaults, and so change fields that the user left out."""
    update = document["components"]["schemas"]["TaskUpdate"]
    assert "default" not in json.dumps(update)
    fields = update["properties"].items()
    nullable = [name for name, field in fields if '"null"' in json.dumps(field)]
    assert nullable == [name for name, _ in fields if tasks.c[name].nullable] != []
    assert "required" not in update


@pytest.mark.parametrize(("name", "least", "most"), [("limit", 1, 1000), ("task_id", 1, 2**63 - 1)])
def test_the_bounds_of_a_number_are_exact(document: Any, name: str, least: int, most: int) -> None:
    """The service accepts every value that the document allows, so the bounds must be exact."""
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
    assert (number["maximum"], type(number["maximum"])) == (most, int)


def test_every_integer_in_the_document_fits_64_bits(document: Any) -> None:
    """openapi-generator copies them into Go, which does not compile a larger constant."""
    integers = [int(digits) for digits in re.findall(r"[:,\[] (-?\d+)\b", json.dumps(document))]
    assert max(integers) == 2**63 - 1
    assert min(integers) >= -(2**63)


def test_no_parameter_may_be_null(document: Any) -> None:
    """There is no null in a URL, and `order=null` is refused."""
    for name in OPERATIONS:
        for parameter in operation(document, name)["parameters"]:
            assert '"null"' not in json.dumps(parameter["schema"]), parameter["name"]


def test_generating_the_document_prints_nothing() -> None:
    made = run("-c", "import main; main.app.openapi()")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_docs_page_loads_nothing_from_another_host(anonymous: httpx.Client, page: str) -> None:
    response = anonymous.get(page)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", response.text)
    needed = re.findall(r"""(?:src|href|spec-url|url)["']?\s*[=:]\s*["']([^"']+)""", response.text)
    assert "/docs/openapi.json" in needed
    for address in needed:
        assert anonymous.get(address).status_code == 200, address


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_policy_of_a_docs_page_allows_no_requests_to_other_hosts(
    anonymous: httpx.Client, page: str
) -> None:
    policy = anonymous.get(page).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    sources = {source for rule in rules.values() for source in rule.split()}
    assert sources <= {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}


def test_redoc_does_not_load_files_of_its_vendor(anonymous: httpx.Client) -> None:
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
def test_no_other_file_is_served(base_url: str, name: str) -> None:
    connection = http.client.HTTPConnection(str(urlsplit(base_url).netloc))
    connection.request("GET", f"/docs/assets/{name}")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    expected = {"detail": "There is nothing at this path.", "code": "NOT_FOUND"}
    assert (response.status, body) == (404, expected)


@pytest.mark.parametrize("root_path", ["", "/tasks-service"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_redirects_to_the_docs(app: FastAPI, method: str, root_path: str) -> None:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
            return await client.request(method, f"{root_path}/")

    response = asyncio.run(request())
    assert (response.status_code, response.headers["location"]) == (307, f"{root_path}/docs")
    assert response.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_of_the_root_are_a_405(anonymous: httpx.Client, method: str) -> None:
    response = anonymous.request(method, "/")
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"


def test_without_docs_the_root_is_a_404(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"docs_enabled": False}))
    with TestClient(app) as client:
        for method in ("GET", "POST"):
            assert client.request(method, "/").status_code == 404


def test_a_developers_route_can_serve_the_root(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/")
    async def home() -> str:
        return "mine"

    assert served(app, "/").json() == "mine"


class Own(BaseModel):
    """A developer's model, for a request and a response."""

    number: Annotated[int, Field(examples=[])] = 3


def test_the_document_includes_a_developers_additions(settings: Settings) -> None:
    app = create_app(settings)
    parameters = [
        {"$ref": "#/components/parameters/Shared"},
        {"name": "filter", "in": "query", "content": {"application/json": {}}},
    ]

    @app.post("/own", openapi_extra={"parameters": parameters})
    async def own(body: Own) -> Own:
        return body

    document = served(app, "/openapi.json").json()
    assert document["paths"]["/own"]["post"]["parameters"] == parameters
    assert document["components"]["schemas"]["Own"]["properties"]["number"]["default"] == 3


def test_a_developers_own_document_keeps_its_servers(settings: Settings) -> None:
    app = create_app(settings)
    servers = [{"url": "https://api.example.com"}]
    custom = get_openapi(title="Mine", version="1", routes=app.routes, servers=servers)
    app.openapi = lambda: custom  # type: ignore[method-assign]
    for path in ("/openapi.json", "/docs/openapi.json"):
        assert served(app, path).json()["servers"] == servers


def served(app: FastAPI, path: str) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(request())


def test_without_docs_there_is_no_page_and_no_document(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"docs_enabled": False}))
    paths = ["/", "/docs", "/redoc", "/openapi.json", "/docs/openapi.json", "/docs/assets/a.css"]

    async def statuses() -> list[tuple[int, str]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            responses = [await client.get(path) for path in paths]
            return [(response.status_code, response.json()["code"]) for response in responses]

    assert asyncio.run(statuses()) == [(404, "NOT_FOUND")] * len(paths)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_find_their_files_behind_a_path_prefix(app: FastAPI, page: str) -> None:
    text = fetched(app, f"/tasks-service{page}", "/tasks-service")
    assert "/tasks-service/docs/openapi.json" in text
    assert not re.search(r"""["'](/docs/assets|/docs/openapi.json)""", text)


def fetched(
    app: FastAPI, url: str, root_path: str = "", headers: dict[str, str] | None = None
) -> str:
    """Return the body for a URL of https://proxy, with the path prefix and headers of a proxy."""

    async def get() -> str:
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="https://proxy") as client:
            return (await client.get(url, headers=headers)).text

    return asyncio.run(get())


def models_to_clash_with() -> list[str]:
    """Return the names of the service's models, and of those that FastAPI adds to a document."""
    names = [name for name, model in vars(schemas).items() if inspect.isclass(model)]
    return [*names, *sorted(FASTAPIS)]


def with_clashing_model(settings: Settings, name: str, times: int = 1) -> FastAPI:
    """Return the application with routes whose own models are all called `name`."""
    app = create_app(settings)
    for number in range(times):
        model = create_model(name, __module__=f"shop{number}", **{f"own{number}": (int, 1)})  # type: ignore[call-overload]
        app.post(f"/shop/{number}", response_model=model)(_endpoint_with(model))
    return app


def _endpoint_with(model: Any) -> Callable[..., Any]:
    async def endpoint(body: Any, number: int) -> Any:
        return body

    endpoint.__annotations__["body"] = model
    return endpoint


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", models_to_clash_with())
def test_a_model_of_a_developer_may_have_any_name(
    settings: Settings, name: str, times: int
) -> None:
    app = with_clashing_model(settings, name, times)
    made = json.loads(json.dumps(app.openapi()))
    models = made["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(made))) <= set(models)
    for number in range(times):
        shop = made["paths"][f"/shop/{number}"]["post"]
        assert set(shop["responses"]) == {"200", "400"}
        for body in (shop["requestBody"], shop["responses"]["200"]):
            assert set(models[model_of(body)]["properties"]) == {f"own{number}"}
        invalid = models[model_of(shop["responses"]["400"])]["properties"]
        assert (invalid.keys(), invalid["code"]["enum"]) == (
            {"detail", "code", "errors"},
            ["VALIDATION_ERROR"],
        )
    for each, *_ in OPERATIONS.values():
        for status, response in errors_of(made, each):
            fields = {"detail", "code"} | ({"errors"} if status == "400" else set())
            properties = models[model_of(response)]["properties"]
            assert (properties.keys(), "enum" in properties["code"]) == (fields, True)
    assert models.keys() & FASTAPIS <= {name}
    assert app.openapi() is app.openapi()


def errors_of(document: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the status and the response of each error of the operations on a path."""
    for operation in document["paths"][path].values():
        yield from (each for each in operation["responses"].items() if each[0] >= "400")


def test_a_model_of_fastapi_that_a_developer_refers_to_is_kept(settings: Settings) -> None:
    app = create_app(settings)
    reference = {"$ref": "#/components/schemas/HTTPValidationError"}
    responses: dict[int | str, Any] = {
        422: {"content": {"application/json": {"schema": reference}}}
    }
    app.get("/own", responses=responses)(lambda: None)
    app.get("/other")(lambda number: None)
    assert app.openapi()["components"]["schemas"].keys() >= FASTAPIS


@pytest.mark.parametrize("step", ["_codes", "_without_null"])
def test_a_document_whose_amendment_failed_is_not_kept(
    step: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings)
    with monkeypatch.context() as broken:
        broken.setattr(openapi, step, lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                app.openapi()
            assert app.openapi_schema is None
    assert app.openapi() == create_app(settings).openapi()
