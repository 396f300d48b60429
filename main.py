"""The Task Management API. Run it with `uv run main.py`; `main:app` is the ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI
from sqlalchemy.engine import URL

from auth import issuer_keys
from config import Settings, get_settings
from database import Database
from development.database import database_url
from development.migrate import migrated
from development.signing_secret import signing_secret
from memory import block_imports, give_memory_back, trim_memory
from middleware.cors import CORSMiddleware
from observability import logs, telemetry
from observability.connection_warnings import ConnectionWarnings
from origins import is_open_to_strangers
from routing import openapi
from routing.admission import Admission
from routing.application import Application
from serving.greeting import log_mode
from serving.memory_budget import MemoryBudget
from tasks.expired_keys import ExpiredKeys
from tokens.verifier import TokenVerifier

with block_imports("pydantic.v1"):  # FastAPI only checks whether a model comes from it; none does
    from routes import docs, health, tasks

OTHER_SERVER = (
    "The service was not started with `uv run main.py`, so these limits are missing: the size of a "
    "head, the time that a client may take to send it or to read a response, and the pause after "
    "OVERLOADED. Put a proxy with such limits in front (docs/deploying.md)."
)
OPEN_TO_STRANGERS = (
    "ALLOWED_ORIGINS has %s: anyone can get a host name of that form, and its pages may then call "
    "this service (docs/deploying.md)"
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open and close what the routes need. The service starts even if the database is down."""
    settings: Settings = app.state.settings
    app.state.verifier = TokenVerifier(
        signing_secret(settings), settings.jwt_issuer, settings.jwt_audience, app.state.keys
    )
    if not getattr(app.state, "limits_connections", False):
        log_mode(settings)
        logs.logger.warning(OTHER_SERVER)
    # serving/server.py sets this before; other ASGI servers don't.
    given: URL | None = getattr(app.state, "database_url", None)
    with nullcontext(given) if given else database_url(settings) as url:
        database = app.state.database = Database(
            url,
            settings.db_pool_size,
            settings.db_max_overflow,
            prepared_statements=settings.db_prepared_statements,
            on_connect=app.state.connection_warnings,
        )
        app.state.admission = Admission(
            database.pool.limit, settings.max_waiting, lambda: database.pool.unconnected_at
        )
        app.state.expired_keys = ExpiredKeys(database)
        warming = asyncio.create_task(database.warm_up())
        done = getattr(app.state, "migrated", False)
        async with nullcontext() if done else migrated(url, settings):
            database.condition.watch()
            with telemetry.exported(app):
                trim_memory()
                giving_back = asyncio.create_task(give_memory_back())
                # serving/refusal.py and serving/protocol.py use these.
                cors = CORSMiddleware(app, settings.allowed_origins, settings.origin_pattern)
                yield {
                    "cors_headers": cors.headers_for,
                    "memory": MemoryBudget(refused=app.state.admission.count_refusal),
                }
                giving_back.cancel()
        warming.cancel()
        await asyncio.wait([warming])
        await app.state.expired_keys.close()
        await database.close()


def create_app(settings: Settings) -> FastAPI:
    """Return the application for `settings`."""
    logs.configure(settings.log_level)
    for origin in filter(is_open_to_strangers, settings.allowed_origins):
        logs.logger.warning(OPEN_TO_STRANGERS, origin)
    app = Application(
        title=openapi.TITLE,
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        license_info=openapi.LICENSE,
        contact={"url": settings.contact_url} if settings.contact_url else None,
        openapi_tags=openapi.TAGS,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        docs_url=None,  # routes/docs.py
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=telemetry.FASTAPI,
    )
    app.state.settings = settings
    # This is here rather than in `lifespan`, so that workers share the modules that it imports.
    app.state.keys = issuer_keys(settings)
    app.state.connection_warnings = ConnectionWarnings(settings.environment)
    for router in (tasks.router, health.router):
        app.include_router(router)
    if settings.docs_enabled:
        app.include_router(docs.router)
        docs.lead_from_root(app)
    return app


app = create_app(get_settings())

if __name__ == "__main__":
    from serving import server, threads

    logs.log_uncaught_errors()
    with threads.exit_without_threads():
        server.run(app)
