"""The engine and a session for each request."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.engine import make_url
from sqlmodel import Session, SQLModel, create_engine

from conventional import models as models  # create_all needs the table
from conventional.config import settings

engine = create_engine(
    make_url(settings.database_url).set(drivername="postgresql+psycopg2"),
    pool_size=settings.db_pool_size,
    max_overflow=settings.db_max_overflow,
)


def create_db_and_tables() -> None:
    """Create the tables that do not exist."""
    SQLModel.metadata.create_all(engine)


def get_session() -> Iterator[Session]:
    """Return a session, which is closed at the end of the request."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
