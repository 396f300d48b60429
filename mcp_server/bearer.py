"""Bearer tokens of HTTP requests (RFC 6750)."""

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.token import Caller, InvalidToken, caller_of

SIGN_IN = "Sign in: this server needs an access token."


class Call:
    """The caller of one request, and why the API refused the token, if it did."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.refusal: str | None = None

    def refuse(self, reason: str) -> None:
        self.refusal = reason


class RequireToken:
    """An application around `app`, to which it passes only POST requests with a usable token.

    It does not verify the token, because the API does so with every request. When the API refuses
    the token, the response becomes a 401 too, so that the client signs in again.
    """

    def __init__(self, app: ASGIApp, *, metadata_url: str) -> None:
        self._app = app
        self._challenge = f'Bearer resource_metadata="{metadata_url}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = Call(_caller(scope))
        except InvalidToken as invalid:
            await self._unauthorized(str(invalid))(scope, receive, send)
            return
        if scope["method"] != "POST":
            # A GET would open a stream, on which a server without sessions has nothing to send.
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        own = {**scope, "state": {**scope.get("state", {}), "call": call}}
        await self._app(own, receive, self._watched(call, scope, receive, send))

    def _watched(self, call: Call, scope: Scope, receive: Receive, send: Send) -> Send:
        """Return a `send` that replaces the response if the API has refused the token."""
        replaced = False

        async def watched(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and call.refusal is not None:
                replaced = True
                await self._unauthorized(call.refusal)(scope, receive, send)
            elif not replaced:
                await send(message)

        return watched

    def _unauthorized(self, reason: str) -> JSONResponse:
        challenge = self._challenge
        if reason != SIGN_IN:  # RFC 6750, section 3.1: no error code if there was no token
            challenge += f', error="invalid_token", error_description="{_quotable(reason)}"'
        return JSONResponse(
            {"error": "invalid_token", "error_description": reason},
            status_code=401,
            headers={"WWW-Authenticate": challenge},
        )


def _caller(scope: Scope) -> Caller:
    """Return the caller of a request. Raises InvalidToken.

    An expired token is refused here, before any call of the API, so that the client learns of it
    from the first response and can get another token (RFC 6750, section 3.1).
    """
    caller = caller_of(_token(scope))
    if caller.has_expired:
        raise InvalidToken("The token has expired; log in again.")
    return caller


def _token(scope: Scope) -> str:
    """Return the bearer token of a request. Raises InvalidToken."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    lines = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    if not lines:
        raise InvalidToken(SIGN_IN)
    scheme, _, token = lines[0].partition(" ")
    if len(lines) > 1 or scheme.lower() != "bearer":
        raise InvalidToken("Send one Authorization header, with a bearer token.")
    return token.strip()


def _quotable(text: str) -> str:
    """Return `text` without what a quoted string must not contain (RFC 6750, section 3)."""
    return "".join(char for char in text if " " <= char <= "~" and char not in '"\\')
