"""Retries, and unexpected responses from the API or from a proxy in front of it."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from mcp_server import api
from mcp_server.api import NOT_THE_API, TasksApi, http_client
from mcp_server.token import Caller
from tests.mcp_server.clients import (
    call,
    error_of,
    http_server,
    over_http,
    run,
    serving_asgi,
    token_of,
)
from tests.mcp_server.gateway import Gateway, gateway


@pytest.fixture
def before(base_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(api, "PAUSE", 0.05)
    with gateway(base_url) as served:
        yield served


async def request(url: str, user_id: str, *arguments: Any, **others: Any) -> Any:
    async with http_client(url) as http:
        caller = Caller(user_id, token_of(user_id))
        return await TasksApi(http, caller).request(*arguments, **others)


def test_a_429_or_503_is_retried_once_retry_after_has_passed(before: Gateway, alice: str) -> None:
    before.refusals = [(429, "0"), (503, "1")]
    began = time.monotonic()
    assert run(lambda: request(before.url, alice, "GET"))["count"] == 0
    assert time.monotonic() - began >= 1
    assert len(before.requests) == 3


def test_a_long_retry_after_is_an_error_at_once(before: Gateway, alice: str) -> None:
    before.refusals = [(503, "3600")]
    with pytest.raises(Exception, match=r"is busy\. Wait 3600 s before"):
        run(lambda: request(before.url, alice, "GET"))
    assert len(before.requests) == 1


def test_the_number_of_attempts_is_limited(before: Gateway, alice: str) -> None:
    before.refusals = [(429, "0")] * (api.ATTEMPTS + 1)
    with pytest.raises(Exception, match="The gateway is busy"):
        run(lambda: request(before.url, alice, "GET"))
    assert len(before.requests) == api.ATTEMPTS


def test_a_creation_whose_response_is_lost_creates_one_task(
    before: Gateway, client: httpx.Client, alice: str
) -> None:
    before.losses = 1
    made = run(lambda: request(before.url, alice, "POST", body={"title": "Buy milk"}))
    assert len(before.requests) == 2
    assert client.get(f"/api/{alice}/tasks").json()["tasks"] == [made]


def test_two_creations_create_two_tasks(before: Gateway, client: httpx.Client, alice: str) -> None:
    for _ in range(2):
        run(lambda: request(before.url, alice, "POST", body={"title": "Buy milk"}))
    assert client.get(f"/api/{alice}/tasks").json()["count"] == 2


def test_a_deletion_whose_response_is_lost_succeeds(
    before: Gateway, create: Any, alice: str
) -> None:
    before.losses = 1
    assert run(lambda: request(before.url, alice, "DELETE", f"/{create()['id']}")) is None
    assert len(before.requests) == 2


def test_deleting_a_task_that_does_not_exist_fails(before: Gateway, alice: str) -> None:
    with pytest.raises(Exception, match="There is no such task"):
        run(lambda: request(before.url, alice, "DELETE", f"/{2**62}"))


def test_a_request_marked_once_is_not_sent_again_after_a_lost_response(
    before: Gateway, alice: str
) -> None:
    async def clear() -> Any:
        query = {"status": "completed"}
        return await request(before.url, alice, "DELETE", query=query, once=True)

    before.losses = 1
    with pytest.raises(Exception, match="did not respond; check whether the change was made"):
        run(clear)
    before.refusals = [(429, "0"), (503, "0")]
    with pytest.raises(Exception, match="The gateway is busy"):
        run(clear)
    assert len(before.requests) == 1 + 2


def test_an_unreachable_api_is_reported(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAUSE", 0.05)
    with pytest.raises(Exception, match="can't be reached"):
        run(lambda: request("http://127.0.0.1:9", alice, "GET"))


def test_a_read_whose_response_is_lost_does_not_speak_of_a_change(
    before: Gateway, alice: str
) -> None:
    before.losses = api.ATTEMPTS
    with pytest.raises(Exception, match="can't be reached at the moment; try again later"):
        run(lambda: request(before.url, alice, "GET"))


class Trickle:
    """A server whose responses take 5 seconds, although a byte arrives every 0.05 seconds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"{}"})


def test_a_response_that_takes_too_long_is_an_error(
    alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "TIMEOUT", 0.5)
    monkeypatch.setattr(api, "PATIENCE", 1)
    with serving_asgi(lambda url: Trickle()) as url:
        with pytest.raises(Exception, match="did not respond; check whether"):
            run(lambda: request(url, alice, "POST", body={"title": "Buy milk"}))
        with pytest.raises(Exception, match="can't be reached"):
            run(lambda: request(url, alice, "GET"))


def test_a_user_id_is_encoded_as_one_part_of_the_path(before: Gateway) -> None:
    strange = "a/../b?c#d é"
    assert run(lambda: request(before.url, strange, "GET"))["count"] == 0


def test_a_proxys_cookie_is_not_sent_back(before: Gateway, alice: str, bob: str) -> None:
    before.cookie = "session=of-alice; Path=/"

    async def both() -> None:
        async with over_http(url, token_of(alice)) as client:
            await call(client, "list_tasks")
        async with over_http(url, token_of(bob)) as client:
            await call(client, "list_tasks")

    with http_server(before.url) as url:
        run(both)
    assert [each.headers.get("cookie") for each in before.requests] == [None, None]


def test_an_address_that_is_not_the_api_is_reported(alice: str) -> None:
    page = PlainTextResponse("<title>Welcome</title>")
    with serving_asgi(lambda url: page) as url, pytest.raises(Exception, match="TASKS_API_URL"):
        run(lambda: request(url, alice, "GET"))


def test_a_response_that_is_not_from_the_api_is_an_error(before: Gateway, alice: str) -> None:
    async def session() -> str:
        async with over_http(url, token_of(alice)) as client:
            return await error_of(client, "list_tasks")

    with http_server(f"{before.url}/elsewhere") as url:
        assert run(session).endswith(NOT_THE_API)
