"""Health checks, for platforms and people."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import errors
from database import Database
from routing.openapi import error_responses
from routing.route import Route
from schemas import HealthResponse, LiveResponse, UnhealthyResponse

router = APIRouter(prefix="/health", tags=["health"], route_class=Route)

NO_TOKEN: dict[str, Any] = {"security": []}
ALWAYS = error_responses(
    errors.InvalidInput, errors.RequestTimeout, errors.HeadersTooLarge, errors.InternalError
)


@router.head("", include_in_schema=False)
@router.get(
    "",
    response_model=HealthResponse,
    responses=ALWAYS
    | {
        503: {
            "model": UnhealthyResponse,
            "description": "`DATABASE_UNAVAILABLE`",
            "headers": {"Retry-After": {"schema": {"type": "string"}}},
        }
    },
    openapi_extra=NO_TOKEN,
    operation_id="getHealth",
    summary="Check the service and its database",
)
async def health(request: Request) -> Response:
    """Query the database on a separate connection, and respond within 2 seconds."""
    database: Database = request.app.state.database
    body: dict[str, Any] = {"status": "healthy", "database": "connected"}
    status, headers = 200, None
    try:
        await database.check()
    except errors.DatabaseUnavailable as error:
        body = {"status": "unhealthy", "database": "disconnected", **error.body()}
        status, headers = error.status, error.headers
    body["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return JSONResponse(body, status, headers)


@router.head("/live", include_in_schema=False)
@router.get(
    "/live",
    response_model=LiveResponse,
    responses=ALWAYS,
    openapi_extra=NO_TOKEN,
    operation_id="getLiveness",
    summary="Check the process alone",
)
async def live() -> Response:
    """Respond whenever the process runs, without using the database."""
    return JSONResponse({"status": "alive"})
