"""The Task Management API. `uv run main.py` serves it, `main:app` is the ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from math import inf
from typing import Any

from fastapi import FastAPI
from sqlalchemy.engine import URL
from starlette.types import ASGIApp, Receive, Scope, Send

from auth import issuer_keys
from config import Settings, get_settings
from database import Database
from development.database import database_url
from development.migrate import migrated
from development.signing_secret import signing_secret
from memory import return_unused_memory, without
from middleware.cors import CORSMiddleware
from middleware.errors import ErrorsMiddleware
from observability import logs, telemetry
from routing import openapi
from routing.admission import Admission
from tokens.verifier import TokenVerifier

with without("pydantic.v1"):  # FastAPI asks of every model whether it is of that kind; none is
    from routes import docs, health, tasks


@asynccontextmanager
async def lifespan(app: "Application") -> AsyncIterator[dict[str, Any]]:
    """Opens and closes what the routes need. A database that is down is no reason not to start."""
    settings: Settings = app.state.settings
    app.state.verifier = TokenVerifier(
        signing_secret(settings), settings.jwt_issuer, settings.jwt_audience, app.state.keys
    )
    app.state.admission = Admission(
        settings.db_pool_size + settings.db_max_overflow, settings.max_waiting
    )
    # serving/server.py has it ready already; another ASGI server has not.
    given: URL | None = getattr(app.state, "database_url", None)
    with nullcontext(given) if given else database_url(settings) as url:
        database = app.state.database = Database(
            url, settings.db_pool_size, settings.db_max_overflow
        )
        done = getattr(app.state, "migrated", False)
        async with nullcontext() if done else migrated(url, settings):
            with telemetry.exported(app):
                return_unused_memory()
                # For serving/refusal.py.
                yield {"cors_headers": CORSMiddleware(app, settings.allowed_origins).headers_for}
        await database.close()


class Application(FastAPI):
    """FastAPI with our middleware in place of its own; middleware/errors.py says why."""

    is_watched = False  # telemetry sets it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI's own starts the span; where nobody watches, it is left out of the way."""
        if scope["type"] != "http" or self.is_watched or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """The layers around the routes, from the innermost outwards."""
        settings: Settings = self.state.settings
        answering = ErrorsMiddleware(
            self.router.app, settings.log_requests, settings.slow_request_ms or inf
        )
        return CORSMiddleware(answering, allow_origins=settings.allowed_origins)


def create_app(settings: Settings) -> FastAPI:
    """The application under `settings`."""
    logs.configure(settings.log_level)
    app = Application(
        title=openapi.TITLE,
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        contact=openapi.CONTACT,
        license_info=openapi.LICENSE,
        servers=openapi.SERVERS,
        openapi_tags=openapi.TAGS,
        docs_url=None,  # routes/docs.py
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=telemetry.FASTAPI,
    )
    app.state.settings = settings
    # Here and not in lifespan, so that workers share what it imports.
    app.state.keys = issuer_keys(settings)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]

    # Not include_router, whose routes are looked up twice a request.
    for router in (tasks.router, health.router, docs.router):
        app.router.routes.extend(router.routes)
    return app


app = create_app(get_settings())

if __name__ == "__main__":
    from serving import server

    logs.log_uncaught_errors()
    server.run(app)
