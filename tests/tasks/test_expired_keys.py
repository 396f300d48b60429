"""Idempotency keys of all users are deleted after 24 hours, so that their table stays small."""

import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from sqlalchemy.engine import URL

from tasks import expired_keys
from tests.support.services import (
    connect,
    database_of_its_own,
    eventually,
    recorded_log,
    service,
    sql,
)

KEYS = """
INSERT INTO idempotency_keys
SELECT 'bob', number, '', 1, now() - number * interval '1 minute'
FROM generate_series(1, %s) AS number
"""
A_DAY = 24 * 60


@pytest.fixture
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture
def client(url: URL) -> Iterator[httpx.Client]:
    with service(url) as client:
        yield client


def post(client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key}
    assert client.post("/api/alice/tasks", json={"title": "Tea"}, headers=headers).is_success


def keys(url: URL, user_id: str = "bob") -> int:
    [(number,)] = sql(url, "SELECT count(*) FROM idempotency_keys WHERE user_id = %s", user_id)
    return int(number)


def test_expired_keys_of_any_user_are_deleted_when_a_key_arrives(
    url: URL, client: httpx.Client
) -> None:
    sql(url, KEYS, A_DAY + 2 * expired_keys.PART + 5)
    post(client, "a")
    eventually(lambda: keys(url) < A_DAY)
    assert keys(url) == A_DAY - 1
    assert keys(url, "alice") == 1


def test_expired_keys_are_deleted_at_most_once_per_interval(
    url: URL, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletions: list[expired_keys.ExpiredKeys] = []
    delete = expired_keys.ExpiredKeys._delete

    async def recorded(self: expired_keys.ExpiredKeys) -> None:
        await delete(self)
        deletions.append(self)

    monkeypatch.setattr(expired_keys.ExpiredKeys, "_delete", recorded)
    sql(url, KEYS, A_DAY + 1)
    post(client, "a")
    eventually(lambda: deletions)
    sql(url, "DELETE FROM idempotency_keys")
    sql(url, KEYS, A_DAY + 5)
    post(client, "b")
    time.sleep(0.2)
    assert keys(url) == A_DAY + 5
    monkeypatch.setattr(expired_keys, "monotonic", lambda: time.monotonic() + expired_keys.INTERVAL)
    post(client, "c")
    eventually(lambda: keys(url) < A_DAY)


def test_a_request_does_not_wait_for_the_deletion_of_a_locked_key(
    url: URL, client: httpx.Client
) -> None:
    sql(url, KEYS, A_DAY + 5)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SELECT FROM idempotency_keys FOR UPDATE")
        post(client, "a")
        post(client, "b")
        assert keys(url) == A_DAY + 5
    eventually(lambda: keys(url) < A_DAY)


def test_a_key_that_is_used_again_during_the_deletion_is_kept(
    url: URL, client: httpx.Client
) -> None:
    sql(url, KEYS, A_DAY + 5)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("UPDATE idempotency_keys SET created_at = now() WHERE key = %s", ["1442"])
        post(client, "a")
        time.sleep(0.2)
        connection.commit()
    eventually(lambda: keys(url) <= A_DAY)
    assert sql(url, "SELECT count(*) FROM idempotency_keys WHERE key = '1442'") == [(1,)]


def test_shutdown_does_not_wait_for_the_deletion(url: URL) -> None:
    sql(url, KEYS, A_DAY + 5)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SELECT FROM idempotency_keys FOR UPDATE")
        with service(url) as client:
            post(client, "a")
            began = time.monotonic()
        assert time.monotonic() - began < 3


def test_a_failed_deletion_is_logged_as_a_warning(url: URL, client: httpx.Client) -> None:
    sql(url, KEYS, A_DAY + 5)
    refuse = "BEGIN RAISE insufficient_privilege; END"
    sql(url, f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$")
    sql(
        url,
        "CREATE TRIGGER refuse BEFORE DELETE ON idempotency_keys"
        " FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with recorded_log() as log:
        post(client, "the-key")
        eventually(lambda: "expired keys are not deleted yet" in log.getvalue())
    [line] = [each for each in log.getvalue().splitlines() if "expired keys" in each]
    assert line.endswith(
        "[WARNING] [-] [-] [expired keys are not deleted yet: InsufficientPrivilege]"
    )
    assert "the-key" not in log.getvalue()
