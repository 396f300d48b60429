"""The documentation waits for memory, because clients without a token can leave it unread."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL

from auth import get_current_user
from main import create_app
from routes import docs
from routing.response_memory import response_memory
from serving import memory_budget
from serving.memory_budget import BUDGET
from tests.support.services import NO_TLS, TOO_MANY_REQUESTS
from tests.support.serving import make_settings, serving

PATHS = (
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/openapi.json",
    "/docs/assets/swagger-ui-bundle.js",
    "/docs/assets/redoc.standalone.js",
    "/docs/assets/swagger-ui.css",
    "/docs/assets/favicon.png",
)


async def fill(request: Request) -> None:
    """Use the memory that clients without a token may use."""
    request.state.memory.take("", BUDGET // 2)


@pytest.fixture
def app(postgres: URL) -> FastAPI:
    app = create_app(make_settings(postgres))
    app.add_api_route("/fill", fill)
    return app


@pytest.fixture
def client(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(memory_budget, "CHECK", 0.01)
    monkeypatch.setattr(memory_budget, "MAX_WAIT", 0.02)
    with serving(app) as url, httpx.Client(base_url=url, verify=NO_TLS) as client:
        yield client


@pytest.mark.parametrize("is_fast", [True, False])
def test_the_documentation_waits_for_memory(
    app: FastAPI, client: httpx.Client, is_fast: bool
) -> None:
    if not is_fast:
        app.dependency_overrides[get_current_user] = lambda: "alice"
    assert [client.get(path).status_code for path in PATHS] == [200] * len(PATHS)
    client.get("/fill")
    responses = [client.get(path) for path in PATHS]
    assert [response.json() for response in responses] == [TOO_MANY_REQUESTS] * len(PATHS)
    assert client.get("/health/live").status_code == 200


def test_a_developers_route_can_wait_for_memory(app: FastAPI, client: httpx.Client) -> None:
    @app.get("/export", dependencies=[Depends(response_memory, scope="function")])
    def export() -> str:
        return "large"

    assert client.get("/export").json() == "large"
    client.get("/fill")
    assert client.get("/export").json() == TOO_MANY_REQUESTS


def test_the_documentation_keeps_no_memory(app: FastAPI, client: httpx.Client) -> None:
    @app.get("/used")
    async def used(request: Request) -> int:
        return int(request.state.memory.used)

    for path in (*PATHS, "/docs/assets/absent"):
        client.get(path)
    assert client.get("/used").json() == 0


def test_the_documentation_needs_no_lifespan(app: FastAPI) -> None:
    client = TestClient(app)
    assert [client.get(path).status_code for path in PATHS] == [200] * len(PATHS)


def test_responses_share_the_files() -> None:
    async def bodies() -> list[bytes | memoryview]:
        css = await docs.asset("swagger-ui.css")
        responses = [await docs.swagger_ui_script(), await docs.redoc_script(), css]
        return [response.body for response in responses]

    first, second = asyncio.run(bodies()), asyncio.run(bodies())
    assert all(one is other for one, other in zip(first, second, strict=True))
