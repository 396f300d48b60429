"""The server over streamable HTTP, which keeps no state between requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mcp_server.api import TasksApi, http_client
from mcp_server.bearer import Call, RequireToken
from mcp_server.server import State, make_server
from mcp_server.settings import HttpSettings

METADATA_PATH = "/.well-known/oauth-protected-resource"  # RFC 9728, section 3
LARGEST_BODY = 65_536  # bytes of a request; the API has the same limit


def http_app(settings: HttpSettings) -> ASGIApp:
    """Return the application that serves MCP at the path of MCP_URL.

    A response is one JSON document and not a stream, so that its status can still become 401 when
    the API refuses the token.
    """
    url = urlsplit(settings.mcp_url)
    app = _server(settings).streamable_http_app(
        streamable_http_path=url.path,
        stateless_http=True,
        json_response=True,
        max_request_body_size=LARGEST_BODY,
        transport_security=_security(f"{url.scheme}://{url.netloc}", url.netloc),
    )
    metadata_url = f"{url.scheme}://{url.netloc}{METADATA_PATH}{url.path}"
    # Around the route, because the route also matches another spelling of its path ("/mcp%0A").
    route = next(each for each in app.routes if isinstance(each, Route) and each.path == url.path)
    route.app = RequireToken(route.app, metadata_url=metadata_url)
    return app


def serve(settings: HttpSettings) -> None:
    """Serve until a signal arrives, in one process even if WEB_CONCURRENCY is set."""
    app = http_app(settings)
    uvicorn.run(app, host=settings.mcp_host, port=settings.mcp_port, workers=1)


def _server(settings: HttpSettings) -> MCPServer[State]:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[State]:
        async with http_client(settings.tasks_api_url) as http:

            def tasks_of(ctx: Context[Any, Any]) -> TasksApi:
                request = ctx.request_context.request
                assert isinstance(request, Request)
                call: Call = request.state.call
                return TasksApi(http, call.caller, call.refuse)

            yield State(tasks_of)

    server = make_server(lifespan)
    # Clients derive the second path from MCP_URL, but some clients only know the first path.
    for path in (METADATA_PATH, METADATA_PATH + urlsplit(settings.mcp_url).path):
        server.custom_route(path, ["GET"])(_metadata(settings))
    return server


def _metadata(settings: HttpSettings) -> Any:
    """Return the endpoint that says where users sign in (RFC 9728, section 2)."""
    document = {
        "resource": settings.mcp_url,
        "authorization_servers": [settings.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tasks",
    }

    async def endpoint(request: Request) -> Response:
        return JSONResponse(document, headers={"Access-Control-Allow-Origin": "*"})

    return endpoint


def _security(origin: str, host: str) -> TransportSecuritySettings:
    """Refuse requests from web pages of other sites, including those that use DNS rebinding."""
    local = ("127.0.0.1:*", "localhost:*", "[::1]:*")
    return TransportSecuritySettings(
        allowed_hosts=[host, *local],
        allowed_origins=[origin, *(f"http://{each}" for each in local)],
    )
