"""The set-ups: what is in the environment, and what is in the database."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.engine import URL

from migrations.state import REVISIONS
from tests.support.services import create_tables, sql
from tests.support.serving import SECRET

PASSWORD = "se-cret"
# The table of a build whose models are those of SQLModel's tutorial.
CREATE_ALL = """
CREATE TABLE tasks (
    id serial PRIMARY KEY, user_id varchar NOT NULL, title varchar(200) NOT NULL,
    description varchar(1000), completed boolean NOT NULL,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
)
"""


MOVED = """
CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO app;
ALTER TABLE tasks SET SCHEMA other; ALTER TABLE idempotency_keys SET SCHEMA other
"""
VIEW = "ALTER TABLE tasks RENAME TO moved; CREATE VIEW tasks AS SELECT * FROM moved"
AT = "UPDATE alembic_version SET version_num = '{}'"


class Setup(NamedTuple):
    """In `settings`, `{url}` is the database, `{place}` its host and port, and `{name}` its name.

    `database` is run there first. `has_tables` says whether the tables are made before that.
    """

    title: str
    settings: Mapping[str, str] = {}
    database: str = "SELECT"
    has_tables: bool = True


def prepare(setup: Setup, url: URL) -> None:
    """Make the tables of the set-up, and what it changes in the database."""
    if setup.has_tables:
        create_tables(url)
        sql(url, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        sql(url, "INSERT INTO alembic_version VALUES (%s)", REVISIONS[-1])
    sql(url, setup.database)
    if "REVOKE" not in setup.database:
        for objects in ("TABLES", "SEQUENCES"):
            sql(url, f"GRANT ALL ON ALL {objects} IN SCHEMA public TO app")


SETUPS = (
    Setup("all as it should be"),
    Setup("no migration was run", has_tables=False),
    Setup("the schema of the release before", database=AT.format(REVISIONS[-2])),
    Setup("the schema of a later release", database=AT.format(9999)),
    Setup("a table that `create_all` of another build made", database=CREATE_ALL, has_tables=False),
    Setup("a column is missing", database="ALTER TABLE tasks DROP COLUMN description"),
    Setup("a wrong password", {"DATABASE_URL": "postgresql://app:wrong@{place}/{name}"}),
    Setup("no password", {"DATABASE_URL": "postgresql://app@{place}/{name}"}),
    Setup("a missing database", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@{{place}}/absent"}),
    Setup("a closed port", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@127.0.0.1:9/tasks"}),
    Setup("an unknown host", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@db.invalid/tasks"}),
    Setup("TLS that the server lacks", {"DATABASE_URL": "{url}?sslmode=require"}),
    Setup("a role that may open no connection", database="ALTER ROLE app CONNECTION LIMIT 0"),
    Setup("a role without rights", database="REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app"),
    Setup(
        "a role that may only read",
        database="REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app;"
        " GRANT SELECT ON tasks, idempotency_keys TO app",
    ),
    Setup("a schema without USAGE", database="REVOKE ALL ON SCHEMA public FROM PUBLIC"),
    Setup("a schema outside the search path", database=MOVED),
    Setup("row security without a policy", database="ALTER TABLE tasks ENABLE ROW LEVEL SECURITY"),
    Setup("a view instead of a table", database=VIEW),
    Setup(
        "transactions that are read-only by default",
        database="ALTER ROLE app SET default_transaction_read_only = on",
    ),
    Setup(
        "a role whose isolation is repeatable read",
        database="ALTER ROLE app SET default_transaction_isolation = 'repeatable read'",
    ),
    Setup(
        "a role whose encoding is LATIN1",
        database="ALTER ROLE app SET client_encoding = 'LATIN1'",
    ),
    Setup("`@` in a password", {"DATABASE_URL": "postgresql://app:p@ss@{place}/{name}"}),
    Setup("`%` in a password", {"DATABASE_URL": "postgresql://app:p%ss@{place}/{name}"}),
    Setup(
        "a user that pg_hba.conf lacks", {"DATABASE_URL": "postgresql://postgres:x@{place}/{name}"}
    ),
    Setup("an IPv6 host that is not there", {"DATABASE_URL": "postgresql://app:x@[::1]:9/tasks"}),
    Setup("a HOST of another machine", {"HOST": "192.0.2.1"}),
    Setup("a HOME that is not there", {"HOME": "/nonexistent"}),
    Setup("a locale that is not there", {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"}),
    Setup("a time zone that is not there", {"TZ": "Nowhere/City", "PGTZ": "Nowhere/City"}),
    Setup("a password that has expired", database="ALTER ROLE app VALID UNTIL '2020-01-01'"),
    Setup("another client's parameter", {"DATABASE_URL": "{url}?pgbouncer=true"}),
    Setup("Prisma's schema", {"DATABASE_URL": "{url}?schema=public"}),
    Setup("an address of HTTP", {"DATABASE_URL": "https://db.example.com"}),
    Setup("a newline at the end", {"DATABASE_URL": "{url}\n"}),
    Setup("quotes around the URL", {"DATABASE_URL": '"{url}"'}),
    Setup("no `DATABASE_URL` in production", {"DATABASE_URL": ""}),
    Setup("`PORT=80a`", {"PORT": "80a"}),
    Setup("`DB_POOL_SIZE=many`", {"DB_POOL_SIZE": "many"}),
    Setup("`ALLOWED_ORIGINS=*`", {"ALLOWED_ORIGINS": "*"}),
    Setup("an origin with a path", {"ALLOWED_ORIGINS": "https://app.example.com/"}),
    Setup("a short secret", {"BETTER_AUTH_SECRET": "secret"}),
    Setup("quotes around the secret", {"BETTER_AUTH_SECRET": f'"{SECRET}"'}),
    Setup("an origin below a shared domain", {"ALLOWED_ORIGINS": "https://tasks-*.vercel.app"}),
    Setup("development on every address", {"ENVIRONMENT": "development", "HOST": "0.0.0.0"}),
)
