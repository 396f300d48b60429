"""The API of the plan, built as in a good tutorial: the baseline of the benchmark."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from sqlmodel import text

from conventional.config import settings
from conventional.database import SessionDep, create_db_and_tables
from conventional.tasks import router


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Create the table at the start."""
    create_db_and_tables()
    yield


app = FastAPI(title="Task Management API", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=settings.allowed_origins,
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(router)


@app.get("/health")
def health(session: SessionDep) -> dict[str, str]:
    """Return whether the database responds."""
    session.connection().execute(text("SELECT 1"))
    return {"status": "healthy", "database": "connected"}
