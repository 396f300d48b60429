"""The user of the token."""

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.security.jwt import JWTAuth, Token


async def retrieve_user(token: Token, _: ASGIConnection) -> str:
    """Return the user, which is the token's subject."""
    return token.sub


def auth(secret: str) -> JWTAuth[str, Token]:
    """Return the authentication, which requires a token except for /health."""
    return JWTAuth[str, Token](
        retrieve_user_handler=retrieve_user, token_secret=secret, exclude=["^/health$", "^/schema"]
    )


def require_owner(connection: ASGIConnection, _: BaseRouteHandler) -> None:
    """Check that the user of the token is the user in the path."""
    if connection.user != connection.path_params["user_id"]:
        raise PermissionDeniedException("Not your tasks")
