"""The database of the auth server, in the same Postgres as the service's database.

Better Auth encrypts its signing keys with its secret, so two frontends with different secrets can't
share its tables. A frontend that is built as docs/better-auth.md shows uses the service's database.
"""

import sys
from contextlib import closing, suppress

import psycopg2
from psycopg2.errors import DuplicateDatabase, UniqueViolation
from sqlalchemy.engine import URL

from postgres.dialect import libpq_parameters

NAME = "tasks_example"
CONNECT_TIMEOUT = 10  # seconds; a database that is suspended takes up to 5


def auth_database(service: URL) -> URL:
    """Return the URL of the database, and create it if it does not exist.

    Raises SystemExit with a message if that fails.
    """
    try:
        _create(service)
    except psycopg2.Error as error:
        reason = str(error).strip().partition("\n")[0]
        sys.exit(f"The auth server's database {NAME} can't be created: {reason}")
    return service.set(database=NAME)


def _create(service: URL) -> None:
    parameters = {"connect_timeout": CONNECT_TIMEOUT} | libpq_parameters(service)
    with closing(psycopg2.connect(**parameters)) as connection:
        connection.autocommit = True  # CREATE DATABASE can't run in a transaction
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,))
            if cursor.rowcount == 0:
                # Another example may create it at the same moment.
                with suppress(DuplicateDatabase, UniqueViolation):
                    cursor.execute(f"CREATE DATABASE {NAME}")
