"""ETags: an unchanged task is not sent again, and no change that a client has not seen is lost."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.responses import invalid_input
from tests.support.serving import bearer

Task = dict[str, Any]
Create = Callable[..., Task]

PRECONDITION_FAILED = {
    "detail": "The task has changed since you read it; read it again.",
    "code": "PRECONDITION_FAILED",
}
ETAG_CHANGED_BY_PROXY = {
    "detail": "A proxy changed the task's ETag: it added W/ or a suffix such as -gzip. Send the "
    "ETag in If-Match without that, or turn off compression in the proxy.",
    "code": "PRECONDITION_FAILED",
}
TASK_NOT_FOUND = {"detail": "There is no such task.", "code": "TASK_NOT_FOUND"}
FORBIDDEN = {"detail": "These are not your tasks.", "code": "FORBIDDEN"}

CHANGES: dict[str, tuple[str, str, Any]] = {
    "update": ("PUT", "", {"title": "Changed"}),
    "empty update": ("PUT", "", {}),
    "patch": ("PATCH", "", {"title": "Changed"}),
    "toggle": ("PATCH", "/complete", None),
    "complete": ("PATCH", "/complete", {"completed": True}),
    "delete": ("DELETE", "", None),
}
each_change = pytest.mark.parametrize("change", CHANGES)


def path_of(task: Task) -> str:
    return f"/api/{task['user_id']}/tasks/{task['id']}"


def etag_of(task: Task) -> str:
    return f'"{task["updated_at"]}"'


def send(
    client: httpx.Client, change: str, task: Task, if_match: str | None = None
) -> httpx.Response:
    method, suffix, body = CHANGES[change]
    headers = {} if if_match is None else {"If-Match": if_match}
    return client.request(method, path_of(task) + suffix, json=body, headers=headers)


def test_every_response_with_a_task_has_its_etag(client: httpx.Client, alice: str) -> None:
    created = client.post(f"/api/{alice}/tasks", json={"title": "Tea"})
    path = created.headers["location"]
    responses = [
        created,
        client.get(path),
        client.put(path, json={"title": "Green tea"}),
        client.patch(f"{path}/complete"),
        client.put(path, json={}),
        client.get(path),
    ]
    for response in responses:
        assert response.headers["etag"] == etag_of(response.json())
    tags = [response.headers["etag"] for response in responses]
    assert tags[0] == tags[1] < tags[2] < tags[3] == tags[4] == tags[5]


def test_the_etag_of_a_task_in_a_list_is_its_updated_at(
    client: httpx.Client, create: Create
) -> None:
    task = create()
    [listed] = client.get(f"/api/{task['user_id']}/tasks").json()["tasks"]
    assert send(client, "update", task, etag_of(listed)).status_code == 200


def test_a_deleted_task_and_a_list_have_no_etag(client: httpx.Client, create: Create) -> None:
    task = create()
    assert "etag" not in client.get(f"/api/{task['user_id']}/tasks").headers
    assert "etag" not in send(client, "delete", task).headers


@pytest.mark.parametrize(
    "form",
    ["{}", "W/{}", "*", '"other", {}', 'W/"other",W/{} , "x"', ', ,{},, "a,b" ,', '"", {}'],
)
def test_a_task_that_the_client_already_has_is_a_304(
    form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    headers = {"If-None-Match": form.format(etag_of(task))}
    response = client.get(path_of(task), headers=headers)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag_of(task)
    assert "content-type" not in response.headers
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("form", ['"other"', 'W/"other"', '"{}"', '"*"', '"caf\xe9"'])
def test_a_task_that_the_client_does_not_have_is_sent(
    form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    headers = {b"If-None-Match": form.format(task["id"]).encode("latin-1")}
    response = client.get(path_of(task), headers=headers)
    assert (response.status_code, response.json()) == (200, task)


def test_after_a_change_the_clients_etag_no_longer_matches(
    client: httpx.Client, create: Create
) -> None:
    task = create()
    changed = send(client, "toggle", task).json()
    response = client.get(path_of(task), headers={"If-None-Match": etag_of(task)})
    assert (response.status_code, response.json()) == (200, changed)


def test_several_header_lines_are_one_list_of_etags(client: httpx.Client, create: Create) -> None:
    task = create()
    lines = [("If-None-Match", '"other"'), ("If-None-Match", etag_of(task))]
    assert client.get(path_of(task), headers=lines).status_code == 304


@each_change
def test_the_second_of_two_editors_gets_a_412(
    change: str, client: httpx.Client, create: Create
) -> None:
    read = create()
    first = client.put(path_of(read), json={"title": "First"}, headers={"If-Match": etag_of(read)})
    assert first.status_code == 200
    second = send(client, change, read, etag_of(read))
    assert (second.status_code, second.json()) == (412, PRECONDITION_FAILED)
    assert client.get(path_of(read)).json() == first.json()
    assert send(client, change, read, first.headers["etag"]).status_code in (200, 204)


@each_change
@pytest.mark.parametrize("form", ["*", "{}", '"other", {}', 'W/"other",{}'])
def test_a_change_with_the_current_etag_is_made(
    change: str, form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    response = send(client, change, task, form.format(etag_of(task)))
    assert response.status_code == (204 if change == "delete" else 200)


@each_change
@pytest.mark.parametrize("form", ['"other"', '"*"', '"\\\';--"', 'W/{}, "other"', '"gzip"'])
def test_another_etag_does_not_match(
    change: str, form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    response = send(client, change, task, form.format(etag_of(task)))
    assert (response.status_code, response.json()) == (412, PRECONDITION_FAILED)
    assert client.get(path_of(task)).json() == task


OTHER_FORMS: dict[str, Callable[[str], str]] = {
    "another separator": lambda time: time.replace("T", "_"),
    "lower case": str.lower,
    "an offset": lambda time: time.replace("Z", "+00:00"),
    "another offset": lambda time: time.replace("Z", "+0000"),
    "no zone": lambda time: time.removesuffix("Z"),
    "seven decimals": lambda time: time.replace("Z", "0Z"),
    "a comma": lambda time: time.replace(".", ","),
    "a week": lambda time: f"{date.fromisoformat(time[:10]).strftime('%G-W%V-%u')}{time[10:]}",
    "quotes of Postgres": lambda time: f"}},{{{time}",
}


@each_change
@pytest.mark.parametrize("form", OTHER_FORMS)
def test_another_format_of_the_same_time_does_not_match(
    change: str, form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    response = send(client, change, task, f'"{OTHER_FORMS[form](task["updated_at"])}"')
    assert (response.status_code, response.json()) == (412, PRECONDITION_FAILED)
    assert client.get(path_of(task)).json() == task


NO_TIMES = (
    *("infinity", "now", "epoch", "today", "NULL", "{}", "}", r"\\", "2026-13-01T00:00:00.000000Z"),
    *("2026-02-30T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z", "0000-01-01T00:00:00.000000Z"),
    *(
        "2026-01-01T23:59:60.000000Z",
        "99999-01-01T00:00:00.000000Z",
        "2026-01-01T00:00:00.00000\xb2Z",
    ),
)


def test_an_etag_that_is_not_a_time_does_not_match_and_the_others_still_count(
    client: httpx.Client, create: Create
) -> None:
    task = create()
    for tag in NO_TIMES:
        headers = {b"If-Match": f'"{tag}"'.encode("latin-1")}
        response = client.patch(f"{path_of(task)}/complete", headers=headers)
        assert (response.status_code, response.json()) == (412, PRECONDITION_FAILED), tag
    every = ", ".join(f'"{tag}"' for tag in NO_TIMES)
    headers = {b"If-Match": f"{every}, {etag_of(task)}".encode("latin-1")}
    assert client.patch(f"{path_of(task)}/complete", headers=headers).status_code == 200


@each_change
@pytest.mark.parametrize("if_match", ["*", '"any"'])
def test_a_condition_reveals_nothing_about_missing_tasks_or_those_of_others(
    change: str, if_match: str, client: httpx.Client, create: Create, bob: str
) -> None:
    task = create()
    absent = task | {"id": task["id"] + 1_000_000}
    response = send(client, change, absent, if_match)
    assert (response.status_code, response.json()) == (404, TASK_NOT_FOUND)
    foreign = task | {"user_id": bob}
    client.headers.update(bearer(bob))
    for condition in (if_match, etag_of(task)):
        response = send(client, change, foreign, condition)
        assert (response.status_code, response.json()) == (403, FORBIDDEN)


@each_change
@pytest.mark.parametrize("form", ["W/{}", '"{}-gzip"', '"{}-br"', '"{}--gzip"', 'W/{},W/"x-gzip"'])
def test_an_etag_that_a_proxy_changed_does_not_match_and_the_error_says_so(
    change: str, form: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    tag = form.replace('"{}', '"' + task["updated_at"]).format(etag_of(task))
    response = send(client, change, task, tag)
    assert (response.status_code, response.json()) == (412, ETAG_CHANGED_BY_PROXY)
    assert client.get(path_of(task)).json() == task


MALFORMED = ["", ",", "x", '"', '"x', 'w/"x"', 'W/ "x"', '"x" "y"', "*, *", '*, "x"', '"a b"']


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_a_malformed_condition_is_a_400_and_changes_nothing(
    header: str, value: str, client: httpx.Client, create: Create
) -> None:
    task = create()
    method = "DELETE" if header == "If-Match" else "GET"
    response = client.request(method, path_of(task), headers={header: value})
    message = f'{header} must be * or a list of entity tags, each in quotes: "…", "…".'
    body = invalid_input((f"header.{header}", message))
    assert (response.status_code, response.json()) == (400, body)
    assert client.get(path_of(task)).json() == task


def test_a_long_list_of_etags_is_parsed_quickly(client: httpx.Client, create: Create) -> None:
    """Neither many ETags nor much white space takes quadratic time."""
    task = create()
    tags = ", ".join(f'"{number}"' for number in range(5000))
    assert send(client, "update", task, f"{tags}, {etag_of(task)}").status_code == 200
    hostile = '"x"' + " ," * 25_000 + "x"
    assert send(client, "update", task, hostile).status_code == 400


@pytest.mark.parametrize("change", ["update", "toggle", "delete"])
def test_exactly_one_of_many_simultaneous_changes_wins(
    change: str, client: httpx.Client, base_url: str, alice: str, create: Create
) -> None:
    task = create()
    method, suffix, _ = CHANGES[change]

    async def run() -> list[httpx.Response]:
        headers = bearer(alice) | {"If-Match": etag_of(task)}
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=30, verify=False
        ) as many:
            requests = [
                many.request(method, path_of(task) + suffix, json={"title": f"Editor {number}"})
                for number in range(40)
            ]
            return await asyncio.gather(*requests)

    responses = asyncio.run(run())
    won = [response for response in responses if response.status_code < 300]
    lost = [response for response in responses if response.status_code >= 300]
    assert len(won) == 1
    if change == "delete":
        assert {response.status_code for response in lost} <= {404}
    else:
        assert all(response.json() == PRECONDITION_FAILED for response in lost)
        assert client.get(path_of(task)).json() == won[0].json()


def test_a_change_that_waits_for_the_row_is_compared_with_the_version_it_finds(
    client: httpx.Client, base_url: str, database: Connection, alice: str, create: Create
) -> None:
    """The condition is true when the statement begins, but not when it gets the row."""
    task = create()

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(base_url=base_url, verify=False) as other:
            headers = bearer(alice) | {"If-Match": etag_of(task)}
            waiting = asyncio.create_task(
                other.put(path_of(task), json={"title": "Second"}, headers=headers)
            )
            await asyncio.sleep(0.3)
            assert not waiting.done()
            database.commit()
            return await waiting

    database.autocommit = False
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks SET title = 'First', updated_at = updated_at + interval '1 microsecond'"
            " WHERE id = %s",
            (task["id"],),
        )
        response = asyncio.run(run())
    assert (response.status_code, response.json()) == (412, PRECONDITION_FAILED)
    assert client.get(path_of(task)).json()["title"] == "First"
