"""Bodies of responses."""

INVALID_TOKEN = {"detail": "The token is not valid.", "code": "INVALID_TOKEN"}
TOKEN_EXPIRED = {"detail": "The token has expired; log in again.", "code": "TOKEN_EXPIRED"}
