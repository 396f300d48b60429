"""The user of the token."""

import os
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

SECRET = os.environ["BETTER_AUTH_SECRET"]
ALGORITHM = "HS256"
security = HTTPBearer()


async def get_current_user(
    user_id: str, credentials: Annotated[HTTPAuthorizationCredentials, Depends(security)]
) -> str:
    """Return the user of the token, who must be the user in the path."""
    try:
        payload = jwt.decode(credentials.credentials, SECRET, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError as error:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "Invalid or expired token",
            headers={"WWW-Authenticate": "Bearer"},
        ) from error
    if payload.get("sub") != user_id:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Not your tasks")
    return user_id


CurrentUser = Annotated[str, Depends(get_current_user)]
