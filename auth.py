"""Authentication by bearer token, in a dependency that every task route has.

In development, `uv run auth.py USER_ID` prints a token for trying out the service.
"""

import re
import sys
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from config import Settings, get_settings
from development.signing_secret import signing_secret
from errors import Forbidden, InvalidToken, NotAuthenticated
from models import USER_ID_LENGTH
from schemas import UserId
from tokens.jwks import KeySet, UnknownKey
from tokens.verifier import TokenVerifier, make_token

# Matches a bearer token after other credentials. A proxy may have joined two Authorization lines
# (RFC 9110, section 5.3).
JOINED = re.compile(r",[ \t]*bearer ", re.IGNORECASE)


class BearerAuthentication(SecurityBase):
    """The dependency `get_current_user`: it checks the token, and that its user is the path's."""

    scheme_name = "bearerToken"
    model = HTTPBearer(
        bearerFormat="JWT",
        description="Paste the token alone, without the word Bearer. Your frontend's Better Auth "
        "makes it. In development, `uv run auth.py user_123` prints one for the user `user_123`.",
    )

    async def __call__(self, request: Request, user_id: UserId) -> str:
        """Return the user id. Raises NotAuthenticated, InvalidToken, TokenExpired, or Forbidden.

        Raises AuthUnavailable if the token's key is unknown and can't be looked up at the moment.
        """
        token = bearer_token(_authorization_lines(request.scope))
        verifier: TokenVerifier = request.app.state.verifier
        try:
            caller = verifier.user_id(token)
        except UnknownKey as unknown:
            assert verifier.keys is not None
            await verifier.keys.look_up(unknown.kid)
            caller = verifier.user_id(token)
        else:
            if verifier.keys is not None:
                verifier.keys.refresh_if_stale()
        request.scope["user_id"] = caller
        if caller != user_id:
            raise Forbidden("the path is another user's")
        return caller


def _authorization_lines(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]


def bearer_token(lines: Sequence[str]) -> str:
    """Return the token in a request's Authorization lines. Raises NotAuthenticated or InvalidToken.

    Several credentials are refused even if they are equal, because a proxy might check one of them
    and this service another.
    """
    if len(lines) > 1:
        raise InvalidToken("several Authorization lines")
    credentials = "".join(lines).strip(" \t")  # RFC 9110, section 5.5
    scheme, _, token = credentials.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.lstrip(" ")
    if JOINED.search(credentials):
        raise InvalidToken("several credentials in the Authorization line")
    raise NotAuthenticated("no bearer token")


# This is an object rather than a function, because FastAPI takes the documentation of the bearer
# scheme from a SecurityBase.
get_current_user = BearerAuthentication()
CurrentUser = Annotated[str, Depends(get_current_user)]


def issuer_keys(settings: Settings) -> KeySet | None:
    """Return the key set of BETTER_AUTH_URL, or None if that is not set."""
    if settings.key_set_url is None or settings.issuer is None:
        return None
    return KeySet(settings.key_set_url, settings.issuer)


def main(arguments: list[str], settings: Settings) -> None:
    """Print a token for the user id in `arguments`."""
    if settings.environment != "development":
        sys.exit("Tokens are made here in development only; in production Better Auth makes them.")
    is_one = len(arguments) == 1 and arguments[0].strip() and arguments[0] not in ("-h", "--help")
    if not is_one or len(arguments[0]) > USER_ID_LENGTH:
        sys.exit("Usage: uv run auth.py USER_ID")
    recipient = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    others = {name: values[0] for name, values in recipient.items() if values}
    secret = signing_secret(settings)
    assert secret is not None  # development always has one
    print(make_token(arguments[0], secret, **others))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:], get_settings())
