"""The set-ups: what is in the environment, in the database, and around them."""

from functools import partial

from migrations.state import REVISIONS
from tests.setups.servers import (
    PASSWORD,
    TOMORROW,
    YESTERDAY,
    ipv6_only,
    server,
    server_with_certificate,
    session_pooler,
)
from tests.setups.setup import Setup
from tests.support.serving import SECRET

# The table of a build that has the models of SQLModel's tutorial.
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
# The home is /mnt, which can't be written to any more, and /media is a folder that can.
READ_ONLY_HOME = (
    *("unshare", "--mount", "sh", "-c"),
    "mount -t tmpfs none /mnt && mkdir /mnt/postgres && mount -o remount,ro /mnt &&"
    ' mount -t tmpfs none /media && exec "$@"',
    "sh",
)
HOME = {"HOME": "/mnt"}
DEVELOPMENT = {"ENVIRONMENT": "development", "DATABASE_URL": ""}

SETUPS = (
    Setup("everything is correct"),
    Setup("no migration was run", has_tables=False),
    Setup("the schema of the previous release", database=AT.format(REVISIONS[-2])),
    Setup("the schema of a later release", database=AT.format(9999)),
    Setup("a table that another build's `create_all` made", database=CREATE_ALL, has_tables=False),
    Setup("a column is missing", database="ALTER TABLE tasks DROP COLUMN description"),
    Setup(
        "a column default is missing",
        database="ALTER TABLE tasks ALTER COLUMN created_at DROP DEFAULT",
    ),
    Setup(
        "the function `tasks_next_update` is missing",
        database="DROP FUNCTION tasks_next_update(timestamptz)",
    ),
    Setup("a wrong password", {"DATABASE_URL": "postgresql://app:wrong@{place}/{name}"}),
    Setup("no password", {"DATABASE_URL": "postgresql://app@{place}/{name}"}),
    Setup("a missing database", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@{{place}}/absent"}),
    Setup("a closed port", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@127.0.0.1:9/tasks"}),
    Setup("an unknown host", {"DATABASE_URL": f"postgresql://app:{PASSWORD}@db.invalid/tasks"}),
    Setup("TLS that the server lacks", {"DATABASE_URL": "{url}?sslmode=require"}),
    Setup(
        "a valid server certificate, with `sslmode=verify-full`",
        server=partial(server_with_certificate, TOMORROW),
    ),
    Setup(
        "the same, but the certificate has expired",
        server=partial(server_with_certificate, YESTERDAY),
    ),
    Setup("PgBouncer in session mode", server=partial(session_pooler, 40)),
    Setup(
        "the same with one connection, for which requests wait", server=partial(session_pooler, 1)
    ),
    Setup("a role that may not connect", database="ALTER ROLE app CONNECTION LIMIT 0"),
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
    Setup("a database with the locale C", server=partial(server, locale="C")),
    Setup("`@` in a password", {"DATABASE_URL": "postgresql://app:p@ss@{place}/{name}"}),
    Setup("`%` in a password", {"DATABASE_URL": "postgresql://app:p%ss@{place}/{name}"}),
    Setup(
        "a user that pg_hba.conf lacks", {"DATABASE_URL": "postgresql://postgres:x@{place}/{name}"}
    ),
    Setup(
        "an IPv6 address where nothing listens",
        {"DATABASE_URL": "postgresql://app:x@[::1]:9/tasks"},
    ),
    Setup("another machine's HOST", {"HOST": "192.0.2.1"}),
    Setup("IPv6 only, and `HOST=::`", {"HOST": "::"}, server=ipv6_only),
    Setup("IPv6 only, and the `HOST` of production", {"HOST": ""}, server=ipv6_only),
    Setup(
        "IPv6 only, and the `HOST` of development",
        {"HOST": "", "ENVIRONMENT": "development"},
        server=ipv6_only,
    ),
    Setup("a token that has expired by 5 s: within the leeway", claims={"exp": -5}),
    Setup("a token that expired 20 s ago, as if the clock were fast", claims={"exp": -20}),
    Setup("a token that begins in 5 s: within the leeway", claims={"nbf": 5}),
    Setup("a token that begins in 20 s, as if the clock were slow", claims={"nbf": 20}),
    Setup("a HOME that does not exist", {"HOME": "/nonexistent"}),
    Setup("a HOME that can't be written to, in production", HOME, prefix=READ_ONLY_HOME),
    Setup(
        "the same in development, with its own Postgres in another folder",
        {**HOME, **DEVELOPMENT, "DATA_DIR": "/media"},
        prefix=READ_ONLY_HOME,
    ),
    Setup(
        "the same, with `DATA_DIR=~/tasks`",
        {**HOME, **DEVELOPMENT, "DATA_DIR": "~/tasks"},
        prefix=READ_ONLY_HOME,
    ),
    Setup(
        "a `DATA_DIR` that can't be written to",
        {**HOME, **DEVELOPMENT, "DATA_DIR": "~"},
        prefix=READ_ONLY_HOME,
    ),
    Setup("a locale that does not exist", {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"}),
    Setup("a time zone that does not exist", {"TZ": "Nowhere/City", "PGTZ": "Nowhere/City"}),
    Setup("a password that has expired", database="ALTER ROLE app VALID UNTIL '2020-01-01'"),
    Setup("another client's parameter", {"DATABASE_URL": "{url}?pgbouncer=true"}),
    Setup("Prisma's schema", {"DATABASE_URL": "{url}?schema=public"}),
    Setup("an HTTP address", {"DATABASE_URL": "https://db.example.com"}),
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
