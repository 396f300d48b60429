"""Access to the development database over TCP: who may connect, and on which port."""

import errno
import socket
import sys
from pathlib import Path

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from development.data_dir import kept_secret

HOST = "127.0.0.1"  # never an address that other machines reach
USER = DATABASE = "postgres"

# Which connections are accepted (https://www.postgresql.org/docs/current/auth-pg-hba-conf.html).
# The folder of the socket belongs to one user. Every user of the machine can reach a TCP port, so a
# connection over TCP needs a password.
ACCESS = f"""\
local all,replication all trust
host all all {HOST}/32 scram-sha-256
"""


def kept_password(folder: Path) -> str:
    """Return the password of the database in `folder`. It is made once and kept there.

    Only the user that the service runs as may read the file.
    """
    return kept_secret(folder / "password")


def check_port(port: int) -> None:
    """End the process with a message if no server can listen on `port`."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        taken = "is in use. Stop the program that uses it, or set another"
        reason = taken if error.errno == errno.EADDRINUSE else f"is refused: {error.strerror}"
        sys.exit(f"Configuration error: DEV_DB_PORT {port} {reason}.")


def listens(connection: Connection, port: int) -> bool:
    """Return whether the server at the other end of `connection` listens on `port`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('listen_addresses'), current_setting('port')")
        return cursor.fetchone() == (HOST, str(port))


def set_password(connection: Connection, password: str) -> None:
    """Let clients log in with `password`. It is hashed here, so that no log can contain it."""
    hashed = encrypt_password(password, USER, connection, "scram-sha-256")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {USER} PASSWORD %s", (hashed,))
