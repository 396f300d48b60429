"""The API on FastAPI and asyncpg, as in FastAPI's documentation, without an ORM."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from database import PoolDep, lifespan
from tasks import router

app = FastAPI(title="Task Management API", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["http://localhost:3000"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(router)


@app.get("/health")
async def health(pool: PoolDep) -> dict[str, str]:
    """Return whether the database responds."""
    await pool.fetchval("SELECT 1")
    return {"status": "healthy", "database": "connected"}
