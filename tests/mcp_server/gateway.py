"""A proxy in front of the real API that refuses requests, loses responses and sets cookies."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.mcp_server.clients import serving_asgi
from tests.support.serving import TLS

BUSY = {"detail": "The gateway is busy.", "code": "OVERLOADED"}


class Gateway:
    """A proxy that forwards to `api`. `requests` holds the requests received, oldest first."""

    def __init__(self, api: str) -> None:
        self.requests: list[Request] = []
        self.refusals: list[tuple[int, str]] = []  # status and Retry-After of the next responses
        self.losses = 0  # how many of the next responses are lost
        self.cookie: str | None = None
        self.url = ""
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = await self._respond(Request(scope, receive))
        if self.losses:
            self.losses -= 1
            headers = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionAbortedError  # uvicorn closes the connection
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusals:
            status, seconds = self.refusals.pop(0)
            return JSONResponse(BUSY, status, {"Retry-After": seconds})
        response = await self._forward(request)
        if self.cookie:
            response.headers["Set-Cookie"] = self.cookie
        return response

    async def _forward(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        url = f"{self._api}{path}?{request.url.query}".rstrip("?")
        kept = ("authorization", "content-type", "idempotency-key")
        headers = {name: value for name, value in request.headers.items() if name in kept}
        async with httpx.AsyncClient(verify=TLS) as http:
            body = await request.body()
            came = await http.request(request.method, url, content=body, headers=headers)
        return Response(came.content, came.status_code, media_type="application/json")


@contextmanager
def gateway(api: str) -> Iterator[Gateway]:
    served = Gateway(api)
    with serving_asgi(lambda url: served) as served.url:
        yield served
