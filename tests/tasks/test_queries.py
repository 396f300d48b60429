"""The statements that Postgres receives: one for each operation, and none without authorization."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from database import LIBPQ_DEFAULTS
from schemas import Order, Sort, Status
from tasks import expired_keys, queries
from tests.support.services import unreachable
from tests.support.serving import bearer

Create = Callable[..., dict[str, Any]]

LINE = re.compile(
    rf"(?m)^{LIBPQ_DEFAULTS['application_name']}\|LOG:  (?:statement|execute .*?): (.*(?:\n\t.*)*)"
)
LIMITED = "?status=pending&sort=title&limit=2"


EXECUTED = re.compile(r"(?s)(?:PREPARE .*; )?EXECUTE (\w+) \([^;]*\)")
PREPARED = {
    each.name: each.sql
    for each in (
        *(queries.GET, queries.CREATE, queries.STATS, queries.TASK_BELONGS_TO_OTHER),
        *(*queries.UPDATE, *queries.TOGGLE, *queries.SET_COMPLETED, *queries.DELETE),
        *(
            queries.list_tasks(status, sort, order, after=after)
            for status, sort, order, after in product(
                get_args(Status), get_args(Sort), get_args(Order), (True, False)
            )
        ),
    )
}
# From tasks/expired_keys.py. No key has expired, so no statement that deletes keys is executed.
BESIDE_REQUESTS = {expired_keys.OLDEST.sql}


def name_of(line: str) -> str:
    """Return the name of the prepared statement that `line` executes, or an empty string."""
    match = EXECUTED.fullmatch(line)
    return match[1] if match else ""


class StatementLog:
    """The server's log of the statements that the service sends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def statements(self) -> list[str]:
        """Return the statements of requests since the last call, or since the log was opened.

        For a prepared statement this is its text, even if only its name was sent.
        """
        time.sleep(0.02)  # time for the server to write its log
        with self._path.open("rb") as file:
            file.seek(self._start)
            text = file.read()
        self._start += len(text)
        found = [PREPARED.get(name_of(line), line) for line in LINE.findall(text.decode())]
        return [each for each in found if each.replace("\n\t", "\n") not in BESIDE_REQUESTS]


@pytest.fixture
def log(database: Connection, client: httpx.Client, alice: str) -> Iterator[StatementLog]:
    """The log from now on. The service is already connected, so connecting adds no statements."""
    with database.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
        cursor.execute("ALTER SYSTEM SET log_line_prefix = '%a|'")
        cursor.execute("SELECT pg_reload_conf()")
        cursor.execute("SHOW data_directory")
        [folder] = cursor.fetchone() or [""]
        log = StatementLog(Path(folder).parent / "log")
        deadline = time.monotonic() + 5
        while not log.statements():
            assert time.monotonic() < deadline, "the server logs nothing"
            assert client.get(f"/api/{alice}/tasks").status_code == 200
        yield log
        cursor.execute("ALTER SYSTEM RESET log_statement")
        cursor.execute("ALTER SYSTEM RESET log_line_prefix")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "verb"),
    [
        ("GET", "", None, 200, "SELECT"),
        ("GET", LIMITED, None, 200, "SELECT"),
        ("GET", "?q=tea", None, 200, "SELECT"),
        ("GET", "/stats", None, 200, "SELECT"),
        ("DELETE", "?status=completed", None, 200, "WITH"),
        ("DELETE", "?status=all", None, 200, "WITH"),
        ("POST", "", {"title": "Tea", "description": "Green"}, 201, "INSERT"),
        ("GET", "/{task}", None, 200, "SELECT"),
        ("PUT", "/{task}", {"title": "Tea", "completed": True}, 200, "UPDATE"),
        ("PUT", "/{task}", {"description": None}, 200, "UPDATE"),
        ("PUT", "/{task}", {}, 200, "SELECT"),
        ("DELETE", "/{task}", None, 204, "DELETE"),
        ("PATCH", "/{task}", {"title": "Changed"}, 200, "UPDATE"),
        ("PATCH", "/{task}/complete", None, 200, "UPDATE"),
        ("PATCH", "/{task}/complete", {"completed": True}, 200, "UPDATE"),
        ("PATCH", "/{task}/complete", {"completed": False}, 200, "UPDATE"),
    ],
)
def test_an_operation_is_one_statement(
    method: str,
    path: str,
    body: Any,
    status: int,
    verb: str,
    client: httpx.Client,
    alice: str,
    create: Create,
    log: StatementLog,
) -> None:
    url = f"/api/{alice}/tasks" + path.format(task=create()["id"])
    log.statements()
    response = client.request(method, url, json=body)
    [statement] = log.statements()
    assert response.status_code == status
    assert re.match(rf"(WITH task AS\s+\()?{verb} ", statement)
    assert ";" not in statement


def test_a_head_request_for_a_long_list_reads_only_its_beginning(
    client: httpx.Client, alice: str, database: Connection, log: StatementLog
) -> None:
    with database.cursor() as cursor:
        insert = "INSERT INTO tasks (user_id, title) SELECT %s, 'x' FROM generate_series(1, 2500)"
        cursor.execute(insert, [alice])
    log.statements()
    assert client.head(f"/api/{alice}/tasks").status_code == 200
    assert len(log.statements()) == 1
    assert client.get(f"/api/{alice}/tasks").json()["count"] == 2500
    assert len(log.statements()) > 1


def test_a_create_with_a_key_is_one_statement_and_so_is_its_retry(
    client: httpx.Client, alice: str, log: StatementLog
) -> None:
    headers = {"Idempotency-Key": alice}
    for _ in range(2):
        response = client.post(f"/api/{alice}/tasks", json={"title": "Tea"}, headers=headers)
        [statement] = log.statements()
        assert response.status_code == 201
        assert statement.startswith("WITH ")
        assert ";" not in statement


CONDITIONAL: list[tuple[str, str, Any, str, int, int]] = [
    ("GET", "", None, "If-None-Match", 304, 200),
    ("PUT", "", {"title": "Tea"}, "If-Match", 200, 412),
    ("PUT", "", {}, "If-Match", 200, 412),
    ("PATCH", "/complete", None, "If-Match", 200, 412),
    ("DELETE", "", None, "If-Match", 204, 412),
]


@pytest.mark.parametrize(("method", "path", "body", "header", "same", "other"), CONDITIONAL)
def test_a_condition_is_checked_by_the_same_statement(
    method: str,
    path: str,
    body: Any,
    header: str,
    same: int,
    other: int,
    client: httpx.Client,
    alice: str,
    create: Create,
    log: StatementLog,
) -> None:
    """Only a change that was not made needs a second statement, to find out the reason."""
    task = create()
    url = f"/api/{alice}/tasks/{task['id']}{path}"
    log.statements()
    etags = {'"another"': other, f'"{task["updated_at"]}"': same}
    for etag, status in etags.items():
        response = client.request(method, url, json=body, headers={header: etag})
        assert response.status_code == status
        expected = 2 if status == 412 and body != {} else 1
        assert len(log.statements()) == expected


def test_a_page_after_a_cursor_is_one_statement_without_an_offset(
    client: httpx.Client, alice: str, create: Create, log: StatementLog
) -> None:
    for _ in range(3):
        create()
    url = f"/api/{alice}/tasks?limit=1"
    cursor = client.get(url).json()["next_cursor"]
    log.statements()
    assert client.get(f"{url}&cursor={cursor}").json()["count"] == 1
    [statement] = log.statements()
    assert "OFFSET" not in statement.upper()


@pytest.mark.parametrize("query", ["", "?limit=1000"])
def test_a_list_of_a_thousand_tasks_is_one_statement(
    query: str, client: httpx.Client, alice: str, database: Connection, log: StatementLog
) -> None:
    with database.cursor() as cursor:
        rows = "SELECT %s, 'Tea' FROM generate_series(1, 1000)"
        cursor.execute(f"INSERT INTO tasks (user_id, title) {rows}", [alice])
    log.statements()
    assert client.get(f"/api/{alice}/tasks{query}").json()["count"] == 1000
    assert len(log.statements()) == 1


def test_no_liveness_check_is_sent_after_a_pause(
    client: httpx.Client, alice: str, log: StatementLog
) -> None:
    client.get(f"/api/{alice}/tasks")
    time.sleep(1)
    client.get(f"/api/{alice}/tasks")
    assert len(log.statements()) == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "", {"title": ""}, 400),
        ("PUT", "/{task}", {"completed": None}, 400),
        ("GET", "/0", None, 400),
        ("GET", "?limit=0", None, 400),
        ("GET", "?cursor=x", None, 400),
    ],
)
def test_a_refused_request_sends_no_statement(
    method: str,
    path: str,
    body: Any,
    status: int,
    client: httpx.Client,
    alice: str,
    create: Create,
    log: StatementLog,
) -> None:
    url = f"/api/{alice}/tasks" + path.format(task=create()["id"])
    log.statements()
    assert client.request(method, url, json=body).status_code == status
    assert log.statements() == []


STRANGERS = {
    "no token": ("", 401),
    "another scheme": ("Basic YWxpY2U6c2VjcmV0", 401),
    "not a JWT": ("Bearer x", 401),
    "another signature": ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.AAAA", 401),
    "another user": (bearer("mallory")["Authorization"], 403),
}
OPERATIONS = [
    ("GET", ""),
    ("GET", "/stats"),
    ("POST", ""),
    ("DELETE", "?status=all"),
    ("GET", "/1"),
    ("PUT", "/1"),
    ("DELETE", "/1"),
    ("PATCH", "/1/complete"),
]
by_strangers = pytest.mark.parametrize(
    ("authorization", "status"), STRANGERS.values(), ids=STRANGERS.keys()
)


@pytest.fixture(scope="module")
def cut_off() -> Iterator[str]:
    """The URL of a service that cannot connect to its database."""
    with unreachable() as client:
        yield str(client.base_url).rstrip("/")


@by_strangers
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_unauthorized_request_needs_no_connection(
    method: str, path: str, authorization: str, status: int, cut_off: str, anonymous: httpx.Client
) -> None:
    url = f"{cut_off}/api/alice/tasks{path}"
    response = anonymous.request(method, url, headers={"Authorization": authorization}, json={})
    assert response.status_code == status


def test_an_authorized_request_needs_a_connection(cut_off: str, anonymous: httpx.Client) -> None:
    response = anonymous.get(f"{cut_off}/api/alice/tasks", headers=bearer("alice"))
    assert (response.status_code, response.json()["code"]) == (503, "DATABASE_UNAVAILABLE")


@by_strangers
def test_an_unauthorized_request_sends_no_statement(
    authorization: str, status: int, anonymous: httpx.Client, alice: str, log: StatementLog
) -> None:
    for method, path in OPERATIONS:
        headers = {"Authorization": authorization}
        response = anonymous.request(method, f"/api/{alice}/tasks{path}", headers=headers)
        assert response.status_code == status
    assert log.statements() == []
