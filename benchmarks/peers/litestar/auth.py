"""The user of the token."""

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.security.jwt import JWTAuth, Token


async def retrieve_user(token: Token, _: ASGIConnection) -> str:
    """The user is known by the token's subject alone."""
    return token.sub


def auth(secret: str) -> JWTAuth[str, Token]:
    """Every call but /health wants a token."""
    return JWTAuth[str, Token](
        retrieve_user_handler=retrieve_user, token_secret=secret, exclude=["^/health$", "^/schema"]
    )


def require_owner(connection: ASGIConnection, _: BaseRouteHandler) -> None:
    """The user of the token must be the one in the path."""
    if connection.user != connection.path_params["user_id"]:
        raise PermissionDeniedException("Not your tasks")
