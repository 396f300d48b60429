"""The HTTP transport: which requests are accepted, and that a call acts as its token's user."""

import asyncio
import logging
import time
from typing import Any

import httpx
import pytest

from tests.mcp_server.clients import ERAS, ISSUER, call, http_server, over_http, run, token_of

PING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TOOL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_tasks", "arguments": {}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}
METADATA = "/.well-known/oauth-protected-resource"


def post(url: str, message: Any = PING, **headers: str) -> httpx.Response:
    return httpx.post(url, json=message, headers={**ACCEPT, **headers})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_token_the_client_learns_where_to_sign_in(mcp_url: str) -> None:
    response = post(mcp_url)
    origin = mcp_url.removesuffix("/mcp")
    challenge = response.headers["WWW-Authenticate"]
    assert response.status_code == 401
    assert challenge == f'Bearer resource_metadata="{origin}{METADATA}/mcp"'
    document = {
        "resource": mcp_url,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tasks",
    }
    for path in (METADATA, f"{METADATA}/mcp"):
        metadata = httpx.get(origin + path)
        assert (metadata.status_code, metadata.json()) == (200, document)
        assert metadata.headers["Access-Control-Allow-Origin"] == "*"


NOT_IN_A_URL = "The user id (sub) in the token can't be part of a URL."


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("opaque", "The token is not a JWT."),
        ("a.b.c", "The token is not a JWT."),
        ("a.W10.c", "The token is not a JWT."),  # the payload is []
        ("a.e30.c", "The token names no user (sub)."),  # the payload is {}
        ("a.eyJzdWIiOiJcdWQ4MDAifQ.c", NOT_IN_A_URL),  # the user id is a lone surrogate
        (token_of("."), NOT_IN_A_URL),
        (token_of(".."), NOT_IN_A_URL),
        ("a.eyJzdWIiOiJhIn0.c", "The token has no expiry time (exp)."),
        (token_of("alice", exp=int(time.time()) - 60), "The token has expired; log in again."),
    ],
)
def test_a_token_that_cannot_be_valid_is_refused_before_the_api_is_called(
    mcp_url: str, token: str, reason: str
) -> None:
    response = post(mcp_url, **bearer(token))
    assert (response.status_code, response.json()["error_description"]) == (401, reason)
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert "resource_metadata=" in response.headers["WWW-Authenticate"]


def test_a_request_with_two_tokens_is_refused(mcp_url: str, alice: str, bob: str) -> None:
    both = [("Authorization", f"Bearer {token_of(each)}") for each in (alice, bob)]
    response = httpx.post(mcp_url, json=PING, headers=[*ACCEPT.items(), *both])
    assert response.status_code == 401


@pytest.mark.parametrize("era", ERAS)
def test_a_token_that_the_api_refuses_gets_a_401(mcp_url: str, alice: str, era: str) -> None:
    """Only its signature is wrong, which the MCP server does not check."""
    headers = bearer(token_of(alice)[:-4] + "AAAA")
    message = dict(TOOL)
    if era != "legacy":
        headers |= {"MCP-Protocol-Version": era, "Mcp-Method": "tools/call"}
        headers |= {"Mcp-Name": "list_tasks"}
        meta = {
            "io.modelcontextprotocol/protocolVersion": era,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        message["params"] = {**TOOL["params"], "_meta": meta}
    response = post(mcp_url, message, **headers)
    assert response.status_code == 401, response.text
    assert response.json()["error_description"].startswith("The token is not valid; log in again.")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "http://127.0.0.1.attacker.example:80"}, 403),
        ({"Origin": "http://localhost:6274"}, 200),
    ],
)
def test_requests_from_pages_of_other_sites_are_refused(
    mcp_url: str, alice: str, headers: dict[str, str], status: int
) -> None:
    assert post(mcp_url, **bearer(token_of(alice)), **headers).status_code == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
def test_every_method_except_post_is_refused(mcp_url: str, alice: str, method: str) -> None:
    headers = {**ACCEPT, **bearer(token_of(alice))}
    response = httpx.request(method, mcp_url, headers=headers, timeout=5)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_of_the_path_does_without_a_token(mcp_url: str, method: str) -> None:
    """A GET without a token would open a stream that never ends."""
    response = httpx.request(method, f"{mcp_url}%0A", headers=ACCEPT, timeout=5)
    assert response.status_code == 401


def test_a_body_over_64_kib_is_refused(mcp_url: str, alice: str) -> None:
    response = post(mcp_url, {**PING, "x": "x" * 70_000}, **bearer(token_of(alice)))
    assert response.status_code == 413


@pytest.mark.parametrize("era", ERAS)
def test_concurrent_users_see_only_their_own_tasks(
    mcp_url: str, alice: str, bob: str, era: str
) -> None:
    """Two users have two connections each, and make ten calls on each at the same time."""

    async def work(user: str, number: int) -> None:
        async with over_http(mcp_url, token_of(user), era) as client:
            for step in range(5):
                await call(client, "add_task", title=f"{user} {number} {step}")
                page = await call(client, "list_tasks")
                assert {task["title"].split()[0] for task in page["tasks"]} == {user}

    async def everybody() -> list[dict[str, Any]]:
        await asyncio.gather(*(work(user, n) for user in (alice, bob) for n in range(2)))
        async with over_http(mcp_url, token_of(alice), era) as client:
            return [await call(client, "list_tasks")]

    [page] = run(everybody)
    assert page["count"] == 10


def test_the_operators_token_is_never_used_over_http(
    base_url: str, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_TOKEN", token_of(alice))
    with http_server(base_url) as url:
        assert post(url, TOOL).status_code == 401


def test_neither_tokens_nor_arguments_are_logged(
    mcp_url: str, alice: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # at DEBUG, the client of this test would log more
    token = token_of(alice)

    async def session() -> None:
        async with over_http(mcp_url, token) as client:
            await call(client, "add_task", title="a-secret-plan")
            await client.call_tool("list_tasks", {"search": "a-secret-plan"})
            await client.call_tool("get_task", {"task_id": 1})

    run(session)
    post(mcp_url, TOOL, **bearer(token[:-4] + "AAAA"))
    lines = [each.getMessage() for each in caplog.records]
    assert len(lines) > 5
    private = (token[-20:], token[:40], "a-secret-plan")
    assert not [line for line in lines if any(each in line for each in private)]
