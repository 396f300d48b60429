"""The API on Litestar and asyncpg, with Litestar's own JWT authentication."""

import os

from litestar import Litestar, Request, get
from litestar.config.cors import CORSConfig

from auth import auth
from database import lifespan
from tasks import Tasks


@get("/health")
async def health(request: Request) -> dict[str, str]:
    """Return whether the database responds."""
    await request.app.state.pool.fetchval("SELECT 1")
    return {"status": "healthy", "database": "connected"}


app = Litestar(
    route_handlers=[health, Tasks],
    lifespan=[lifespan],
    on_app_init=[auth(os.environ["BETTER_AUTH_SECRET"]).on_app_init],
    cors_config=CORSConfig(allow_origins=["http://localhost:3000"], allow_credentials=True),
)
