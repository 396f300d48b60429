"""Every operation works with any Postgres settings of the role or the database."""

import secrets
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.engine import URL

from tests.support.services import database_of_its_own, eventually, locked_tasks, service, sql

pytestmark = pytest.mark.slow

# Settings that a role may have and that could change the meaning or the result of a statement.
SETTINGS = {
    "array_nulls": ("off",),
    "backslash_quote": ("off", "on"),
    "bytea_output": ("escape", "hex"),
    "client_min_messages": ("debug5", "error"),
    "DateStyle": ("German", "SQL, DMY", "Postgres, MDY"),
    "debug_print_plan": ("on",),
    "default_transaction_deferrable": ("on",),
    "default_transaction_isolation": ("read uncommitted", "repeatable read", "serializable"),
    "enable_bitmapscan": ("off",),
    "enable_hashagg": ("off",),
    "enable_indexonlyscan": ("off",),
    "enable_indexscan": ("off",),
    "enable_nestloop": ("off",),
    "enable_partition_pruning": ("off",),
    "enable_seqscan": ("off",),
    "enable_sort": ("off",),
    "escape_string_warning": ("on", "off"),
    "extra_float_digits": ("-15",),
    "geqo": ("off",),
    "idle_in_transaction_session_timeout": ("1",),
    "IntervalStyle": ("iso_8601", "sql_standard"),
    "jit_above_cost": ("0",),
    "join_collapse_limit": ("1",),
    "lc_messages": ("C",),
    "lock_timeout": ("2s",),
    "plan_cache_mode": ("force_generic_plan", "force_custom_plan"),
    "quote_all_identifiers": ("on",),
    "row_security": ("off",),
    "search_path": ('public, "$user"', "pg_catalog, public", "public, pg_temp"),
    "standard_conforming_strings": ("off",),
    "statement_timeout": ("2s",),
    "synchronous_commit": ("off",),
    "TimeZone": ("America/New_York", "Asia/Kolkata", "Africa/Monrovia", "+05:45", "UTC"),
    "transform_null_equals": ("on",),
    "work_mem": ("64kB",),
}
CASES = [(name, value) for name, values in SETTINGS.items() for value in values]
TITLE = r"Tea \ 'quoted' \\ \' %s é 日本"
RFC_3339 = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
TIMES = """
SELECT to_char(created_at AT TIME ZONE 'UTC', %s), to_char(updated_at AT TIME ZONE 'UTC', %s)
FROM tasks WHERE id = %s
"""


@pytest.fixture(scope="module")
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def running(url: URL) -> Iterator[httpx.Client]:
    with service(url) as client:
        yield client


@pytest.fixture
def client(url: URL, running: httpx.Client) -> Iterator[httpx.Client]:
    yield running
    sql(elsewhere(url), f"ALTER DATABASE {url.database} RESET ALL")


def elsewhere(url: URL) -> URL:
    """Return another database of the same server, which has none of these settings."""
    return url.set(database="postgres")


def set_for_new_connections(url: URL, name: str, value: str) -> None:
    """Change a setting of the database, and end the connections that have the old value."""
    quoted = value if name == "search_path" else f"'{value}'"
    sql(elsewhere(url), f"ALTER DATABASE {url.database} SET {name} = {quoted}")
    sql(
        elsewhere(url),
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
        url.database,
    )


@pytest.mark.parametrize(("name", "value"), CASES)
def test_every_operation_works_with_this_setting(
    name: str, value: str, url: URL, client: httpx.Client
) -> None:
    set_for_new_connections(url, name, value)
    path = "/api/alice/tasks"
    key = {"Idempotency-Key": secrets.token_hex(8)}
    body = {"title": TITLE, "description": TITLE}
    made = client.post(path, json=body, headers=key)
    assert made.status_code == 201, made.text
    task = made.json()
    assert (task["title"], task["description"]) == (TITLE, TITLE)
    again = client.post(path, json=body, headers=key)
    assert (again.status_code, again.json()) == (201, task)
    [times] = sql(url, TIMES, RFC_3339, RFC_3339, task["id"])
    assert (task["created_at"], task["updated_at"]) == times
    one = f"{path}/{task['id']}"
    assert client.get(one).json() == task
    for sort in ("created", "title"):
        pages = [{"sort": sort, "limit": 1}]
        page = client.get(path, params=pages[0]).json()
        assert page["count"] == 1
        if page["next_cursor"]:
            following = client.get(path, params={**pages[0], "cursor": page["next_cursor"]})
            assert following.status_code == 200, following.text
    toggled = client.patch(f"{one}/complete", headers={"If-Match": made.headers["ETag"]})
    assert toggled.status_code == 200, toggled.text
    assert toggled.json()["completed"] is True
    assert toggled.json()["updated_at"] > task["updated_at"]
    stale = client.put(one, json={"title": "x"}, headers={"If-Match": made.headers["ETag"]})
    assert stale.status_code == 412
    assert client.put(one, json={"description": None}).json()["description"] is None
    assert client.patch(f"{one}/complete").json()["completed"] is False
    assert client.get(f"{path}/stats").json()["total"] >= 1
    assert client.get(path, params={"q": TITLE[:200]}).json()["count"] >= 1
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404
    assert client.delete(path, params={"status": "completed"}).status_code == 200
    erased = client.delete(path, params={"status": "all"})
    assert (erased.status_code, client.get(path).json()["count"]) == (200, 0), erased.text


def test_writes_are_refused_while_transactions_are_read_only_by_default(
    url: URL, client: httpx.Client
) -> None:
    """Providers set it when a disk is full. The service needs no restart when it is reset."""
    set_for_new_connections(url, "default_transaction_read_only", "on")
    path = "/api/alice/tasks"
    refused = client.post(path, json={"title": "Tea"})
    assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert client.get(path).status_code == 200
    sql(elsewhere(url), f"ALTER DATABASE {url.database} RESET default_transaction_read_only")
    eventually(lambda: client.post(path, json={"title": "Tea"}).status_code == 201)


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout"])
def test_a_short_timeout_of_the_role_is_a_503(name: str, url: URL, client: httpx.Client) -> None:
    set_for_new_connections(url, name, "100")
    task = client.post("/api/alice/tasks", json={"title": "Tea"}).json()
    with locked_tasks(url):
        refused = client.patch(f"/api/alice/tasks/{task['id']}/complete")
    assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert client.patch(f"/api/alice/tasks/{task['id']}/complete").json()["completed"] is True
