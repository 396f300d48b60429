"""A client of the REST API. Each request carries the token of the user who made the call."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import httpx2
from mcp.server.mcpserver.exceptions import ToolError

from mcp_server.token import Caller

TIMEOUT = 10.0  # seconds for one response, including its body
CONNECT_TIMEOUT = 5.0  # seconds of these for the connection
PATIENCE = 20.0  # seconds for all attempts of one call
ATTEMPTS = 4
PAUSE = 1.0  # seconds before another attempt, if the response does not say how many
TRY_LATER = (429, 502, 503, 504)
UNREACHABLE = "The task API can't be reached at the moment; try again later."
NO_RESPONSE = (
    "The task API did not respond; check whether the change was made before you repeat it."
)
NOT_THE_API = "The address of the task API (TASKS_API_URL) leads to something else."

Outcome = httpx2.Response | httpx2.TransportError


class TokenRefused(ToolError):
    """The API does not accept the token of a call."""


class TasksApi:
    """The tasks of one caller. `on_refused` is called with the reason if the token is refused."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        caller: Caller,
        on_refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._http = http
        self._on_refused = on_refused
        self._path = f"/api/{quote(caller.user_id, safe='')}/tasks"
        self._headers = {"Authorization": f"Bearer {caller.token}"}

    async def request(
        self,
        method: str,
        path: str = "",
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> Any:
        """Return the JSON of the API's response, or None if it has no body.

        A failed request is retried after the time in `Retry-After`. A creation can be retried
        because it has an `Idempotency-Key`. With `once`, a request is retried only if the failed
        attempt had no effect.

        Raises ToolError with the API's `detail`.
        """
        headers = dict(self._headers)
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        request = self._http.build_request(
            method, self._path + path, params=query, json=body, headers=headers
        )
        return await self._send(request, _had_no_effect if once else _may_repeat)

    async def _send(self, request: httpx2.Request, may_repeat: Callable[[Outcome], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE
        for attempt in range(1, ATTEMPTS + 1):
            response = await self._attempt(request)
            pause = _pause(response)
            is_last = attempt == ATTEMPTS or time.monotonic() + pause > deadline
            if is_last or not may_repeat(response):
                break
            await asyncio.sleep(pause)
        if isinstance(response, httpx2.TransportError):
            had_no_effect = request.method == "GET" or _was_not_sent(response)
            raise ToolError(UNREACHABLE if had_no_effect else NO_RESPONSE) from response
        if attempt > 1 and request.method == "DELETE" and response.status_code == 404:
            return None  # an earlier attempt deleted the task, and its response was lost
        try:
            return _content(response)
        except TokenRefused as refused:
            self._on_refused(str(refused))
            raise

    async def _attempt(self, request: httpx2.Request) -> Outcome:
        try:
            async with asyncio.timeout(TIMEOUT):  # httpx2 limits only each wait for some bytes
                return await self._http.send(request)
        except TimeoutError:
            return httpx2.ReadTimeout("The response takes too long.", request=request)
        except httpx2.TransportError as error:
            return error


def _may_repeat(outcome: Outcome) -> bool:
    return not isinstance(outcome, httpx2.Response) or outcome.status_code in TRY_LATER


def _had_no_effect(outcome: Outcome) -> bool:
    if isinstance(outcome, httpx2.Response):
        return outcome.status_code == 429
    return _was_not_sent(outcome)


def _was_not_sent(error: httpx2.TransportError) -> bool:
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


def _pause(outcome: Outcome) -> float:
    """Return how many seconds to wait before another attempt."""
    if isinstance(outcome, httpx2.Response):
        seconds = outcome.headers.get("Retry-After", "")
        if seconds.isdecimal():
            return float(seconds)
    return PAUSE


def _content(response: httpx2.Response) -> Any:
    """Return the JSON of a successful response. Raises ToolError."""
    try:
        content = response.json() if response.content else None
    except ValueError:
        content = None
    if response.is_success:
        if response.status_code != 204 and not isinstance(content, dict):
            raise ToolError(NOT_THE_API)
        return content
    problem = content if isinstance(content, dict) else {}
    if response.status_code == 404 and problem.get("code") != "TASK_NOT_FOUND":
        raise ToolError(NOT_THE_API)
    detail = problem.get("detail")
    if not isinstance(detail, str):
        detail = f"The task API responded with status {response.status_code}."
    if response.status_code == 401:
        raise TokenRefused(f"{detail} Ask the user to sign in again or to replace the token.")
    if response.status_code in TRY_LATER:
        detail += f" Wait {_pause(response):.0f} s before you try again."
    raise ToolError(detail)


@asynccontextmanager
async def http_client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client for all callers, which keeps no data of any of them.

    It does not follow redirects, which could send a token elsewhere, and does not keep cookies,
    which a proxy could have set for another user. It does not limit the number of connections,
    because the API shares its time fairly among users and a queue here would not.
    """
    async with httpx2.AsyncClient(
        base_url=url,
        timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
    ) as client:
        yield client
