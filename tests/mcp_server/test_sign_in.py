"""Signing in with Better Auth's MCP plugin, from the first 401 to a tool call."""

import asyncio
import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from sqlalchemy.engine import URL

from tests.mcp_server.clients import call, http_server, run
from tests.mcp_server.page import BLOCKS
from tests.parts.parts import ASSISTANTS, need
from tests.support.processes import free_port
from tests.support.services import NO_TLS, database_of_its_own, service
from tests.support.serving import SECRET

pytestmark = pytest.mark.parts

CALLBACK = "http://127.0.0.1:8123/callback"


def place(folder: Path) -> None:
    """Copy the documented auth.ts into a folder, with the files that are needed to serve it."""
    (folder / "auth.ts").write_text(BLOCKS["auth.ts"])
    for name in ("serve.ts", "package.json", "tsconfig.json"):
        (folder / name).write_text((ASSISTANTS / name).read_text())
    (folder / "node_modules").symlink_to(ASSISTANTS / "node_modules")


@contextmanager
def better_auth(database: URL, folder: Path, mcp_url: str) -> Iterator[str]:
    """Run the documented frontend. `Browser` takes the place of its login and consent pages."""
    place(folder)
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.environ["PATH"],
        "BETTER_AUTH_URL": url,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_TELEMETRY": "0",
        "MCP_URL": mcp_url,
        "DATABASE_URL": f"postgresql://postgres@localhost/{database.database}"
        f"?host={database.query['host']}",
    }
    command = ["node", "--import", "tsx", "serve.ts"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "listening\n":
                    break
            yield url
        finally:
            process.kill()


class Storage:
    """The tokens and the client registration that an assistant stores."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """The browser of a user who is signed in to the frontend and consents to every request."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self._http = http
        fields = {"email": f"{name}@example.com", "password": "correct horse", "name": name}
        signed_up = self._http.post("/api/auth/sign-up/email", json=fields)
        self.user_id: str = signed_up.json()["user"]["id"]
        self.authorization: dict[str, list[str]] = {}
        self._answer = AuthorizationCodeResult(code="", state=None)

    async def visit(self, url: str) -> None:
        self.authorization = parse_qs(urlsplit(url).query)
        consent = self._http.get(url).headers["Location"]
        assert urlsplit(consent).path == "/consent"
        agreed = {"accept": True, "oauth_query": urlsplit(consent).query}
        response = self._http.post("/api/auth/oauth2/consent", json=agreed)
        back = response.json().get("redirect_uri") or response.json()["url"]
        assert back.startswith(CALLBACK)
        query = parse_qs(urlsplit(back).query)
        self._answer = AuthorizationCodeResult(
            code=query["code"][0], state=query["state"][0], iss=query["iss"][0]
        )

    async def come_back(self) -> AuthorizationCodeResult:
        return self._answer


def assistant(mcp_url: str, storage: Storage, browser: Browser) -> OAuthClientProvider:
    return OAuthClientProvider(
        mcp_url,
        OAuthClientMetadata(client_name="An assistant", redirect_uris=[CALLBACK]),
        storage,
        browser.visit,
        browser.come_back,
    )


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


class Setting(NamedTuple):
    """Running servers (Better Auth, the service and the MCP server) and alice's browser."""

    frontend: str
    mcp_url: str
    api: httpx.Client
    http: httpx.Client
    alice: Browser

    def add_task(self, storage: Storage) -> dict[str, Any]:
        """Add a task as an assistant with this storage."""

        auth = assistant(self.mcp_url, storage, self.alice)

        async def session() -> dict[str, Any]:
            async with (
                httpx2.AsyncClient(auth=auth, verify=NO_TLS) as http,
                Client(streamable_http_client(self.mcp_url, http_client=http)) as client,
            ):
                return await call(client, "add_task", title="Buy milk")

        return run(session)

    def status(self, token: str) -> tuple[int, int]:
        """Return the statuses with which the MCP server and the API respond to a token."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        message |= {"params": {"name": "task_stats", "arguments": {}}}
        accepted = {**headers, "Accept": "application/json, text/event-stream"}
        called = httpx.post(self.mcp_url, json=message, headers=accepted, verify=NO_TLS)
        listed = self.api.get(f"/api/{self.alice.user_id}/tasks", headers=headers)
        return called.status_code, listed.status_code


@pytest.fixture(scope="module")
def setting(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    need("Node.js", "Better Auth MCP plugin")
    port = free_port()
    mcp_url = f"http://127.0.0.1:{port}/mcp"
    with (
        database_of_its_own(postgres) as url,
        better_auth(url, tmp_path_factory.mktemp("frontend"), mcp_url) as frontend,
        service(url, **settings_of_the_page(frontend, mcp_url)) as api,
        http_server(str(api.base_url), port, better_auth_url=frontend, mcp_issuer=None),
        httpx.Client(base_url=frontend, headers={"Origin": frontend}, verify=NO_TLS) as http,
    ):
        yield Setting(frontend, mcp_url, api, http, Browser(http, "alice"))


@pytest.fixture(scope="module")
def storage(setting: Setting) -> Storage:
    """The storage of an assistant that has signed alice in."""
    storage = Storage()
    setting.add_task(storage)
    return storage


def test_an_assistant_registers_itself_and_signs_the_user_in(
    setting: Setting, storage: Storage
) -> None:
    asked = setting.alice.authorization
    assert asked["resource"] == [setting.mcp_url]
    assert asked["code_challenge_method"] == ["S256"]
    assert storage.client is not None
    assert storage.tokens is not None
    said = claims(storage.tokens.access_token)
    assert (said["sub"], said["iss"]) == (setting.alice.user_id, f"{setting.frontend}/api/auth")
    assert setting.mcp_url in said["aud"]
    assert setting.status(storage.tokens.access_token) == (200, 200)


def test_the_frontends_own_tokens_stay_valid(setting: Setting) -> None:
    token = setting.http.get("/api/auth/token").json()["token"]
    assert setting.status(token) == (200, 200)


def test_an_assistant_whose_token_the_api_refuses_signs_the_user_in_again(
    setting: Setting, storage: Storage
) -> None:
    """The token's signature is wrong. Only the API checks it, during the call."""
    assert storage.tokens is not None
    good = storage.tokens
    bad = good.access_token[:-8] + "AAAAAAAA"
    storage.tokens = good.model_copy(update={"access_token": bad})
    setting.add_task(storage)
    assert storage.tokens.access_token not in (good.access_token, bad)


def test_a_refresh_token_is_exchanged_for_a_new_token(setting: Setting, storage: Storage) -> None:
    assert storage.client is not None
    assert storage.tokens is not None
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": storage.tokens.refresh_token,
        "resource": setting.mcp_url,
    }
    credentials = (str(storage.client.client_id), str(storage.client.client_secret))
    response = setting.http.post("/api/auth/oauth2/token", data=fields, auth=credentials)
    assert response.status_code == 200, response.text
    storage.tokens = OAuthToken.model_validate(response.json())
    assert setting.status(storage.tokens.access_token) == (200, 200)
    assert setting.status(response.json()["id_token"]) == (401, 401)


def test_without_a_resource_an_assistant_gets_an_opaque_token_which_is_refused(
    setting: Setting, storage: Storage
) -> None:
    assert storage.client is not None
    verifier = "v" * 43
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    query = {
        "response_type": "code",
        "client_id": str(storage.client.client_id),
        "redirect_uri": CALLBACK,
        "state": "s",
        "scope": "openid",
        "code_challenge": digest.decode().rstrip("="),
        "code_challenge_method": "S256",
        "prompt": "consent",
    }
    url = httpx.URL(f"{setting.frontend}/api/auth/oauth2/authorize", params=query)
    asyncio.run(setting.alice.visit(str(url)))
    code = asyncio.run(setting.alice.come_back()).code
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": verifier,
    }
    credentials = (str(storage.client.client_id), str(storage.client.client_secret))
    response = setting.http.post("/api/auth/oauth2/token", data=fields, auth=credentials)
    token = response.json()["access_token"]
    assert "." not in token
    assert setting.status(token) == (401, 401)


def settings_of_the_page(frontend: str, mcp_url: str) -> dict[str, Any]:
    """Return the documented settings of the service, with the addresses of this test."""
    text = BLOCKS["service"].replace("https://mcp.example.com/mcp", mcp_url)
    lines = text.replace("https://app.example.com", frontend).splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    named = {name.lower(): value for name, value in settings.items()}
    return {**named, "better_auth_secret": None}


def test_the_documented_file_compiles(tmp_path: Path) -> None:
    need("Node.js", "Better Auth MCP plugin")
    place(tmp_path)
    done = subprocess.run(["node_modules/.bin/tsc"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
