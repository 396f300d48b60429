"""The engine and a session for each request."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.engine import make_url
from sqlmodel import Session, SQLModel, create_engine

from conventional import models as models  # so that create_all knows the table
from conventional.config import settings

engine = create_engine(
    make_url(settings.database_url).set(drivername="postgresql+psycopg2"),
    pool_size=settings.db_pool_size,
    max_overflow=settings.db_max_overflow,
)


def create_db_and_tables() -> None:
    """Creates what is not there yet."""
    SQLModel.metadata.create_all(engine)


def get_session() -> Iterator[Session]:
    """A session that closes when the request is over."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
