"""What a set-up is, and how its database is prepared."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from sqlalchemy.engine import URL

from migrations.state import REVISIONS
from tests.setups.servers import Server, server
from tests.support.services import create_tables, sql


class Setup(NamedTuple):
    """In `settings`, `{url}` is the database, `{place}` its host and port, and `{name}` its name.

    `database` is run there first. `has_tables` says whether the tables are made before that.
    """

    title: str
    settings: Mapping[str, str] = {}
    database: str = "SELECT"
    has_tables: bool = True
    server: Callable[[], AbstractContextManager[Server]] = server
    prefix: tuple[str, ...] = ()  # in front of the service's command
    claims: Mapping[str, int] = {}  # of the token, in seconds from now


def prepare(setup: Setup, url: URL) -> None:
    """Create the tables of the set-up, and apply its changes to the database."""
    if setup.has_tables:
        create_tables(url)
        sql(url, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        sql(url, "INSERT INTO alembic_version VALUES (%s)", REVISIONS[-1])
    sql(url, setup.database)
    if "REVOKE" not in setup.database:
        for objects in ("TABLES", "SEQUENCES"):
            sql(url, f"GRANT ALL ON ALL {objects} IN SCHEMA public TO app")
