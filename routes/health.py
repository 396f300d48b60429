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
STATES = {
    errors.DatabaseUnavailable: "disconnected",
    errors.DatabaseUnusable: "disconnected",
    errors.DatabaseNotMigrated: "not migrated",
}


@router.head("", include_in_schema=False)
@router.get(
    "",
    response_model=HealthResponse,
    responses=ALWAYS
    | {
        503: {
            "model": UnhealthyResponse,
            "description": "`DATABASE_UNAVAILABLE`, `DATABASE_NOT_MIGRATED`",
            "headers": {"Retry-After": {"schema": {"type": "string"}}},
        }
    },
    openapi_extra=NO_TOKEN,
    operation_id="getHealth",
    summary="Check the service and its database",
)
async def health(request: Request) -> Response:
    """Query the database on a separate connection, and respond within 2 seconds.

    A database is unhealthy if it lacks a migration or rights, or if it is read-only. A database
    that a newer release has migrated is healthy.
    """
    database: Database = request.app.state.database
    body: dict[str, Any] = {"status": "healthy", "database": "connected"}
    status, headers = 200, None
    try:
        await database.condition.check()
    except (errors.DatabaseUnavailable, errors.DatabaseNotMigrated) as error:
        body = {"status": "unhealthy", "database": STATES[type(error)], **error.body()}
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
