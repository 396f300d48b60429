"""The user of a request."""

from typing import Annotated

from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jose import JWTError, jwt

from conventional.config import settings

ALGORITHM = "HS256"
security = HTTPBearer()


def get_current_user(
    user_id: str,
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(security)],
) -> str:
    """Return the user of the token, who must be the user in the path."""
    try:
        payload = jwt.decode(
            credentials.credentials, settings.better_auth_secret, algorithms=[ALGORITHM]
        )
    except JWTError as error:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "Invalid or expired token",
            headers={"WWW-Authenticate": "Bearer"},
        ) from error
    if payload.get("sub") != user_id:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Not your tasks")
    return user_id


CurrentUser = Annotated[str, Depends(get_current_user)]
