"""Warnings about database connections that work, but are not set up as they should be."""

import mmap
import os
import socket

from addresses import is_loopback
from observability.logs import logger
from postgres.driver import Connection

ENCODING = (
    "The database's encoding is %s, in which some texts can't be stored. Move the tasks to a "
    "database that was created with ENCODING 'UTF8'."
)
NO_TLS = (
    "The connection to the database on another machine has no TLS: others on the network can read "
    "and change the data. Add sslmode=verify-full&sslrootcert=system, or sslmode=require, "
    "to DATABASE_URL."
)
DEVELOPMENT = (
    "ENVIRONMENT is development, and the database is on another machine. Development migrates it "
    "at each start. Set ENVIRONMENT=production if others use it."
)


class ConnectionWarnings:
    """A check of each new connection, which logs a warning when it begins to apply.

    Workers share a record of the logged warnings, so that only one of them logs each warning.
    """

    def __init__(self, environment: str) -> None:
        self._is_production = environment == "production"
        self._said = mmap.mmap(-1, 2)  # a byte for each kind; forked workers share it

    def __call__(self, connection: Connection) -> None:
        """Log the warnings that apply to `connection`, and did not apply to the one before."""
        encoding = connection.get_parameter_status("server_encoding")
        self._warn(0, encoding not in ("UTF8", None), ENCODING, encoding)
        remote = is_remote(connection)
        if self._is_production:
            self._warn(1, remote and not connection.info.ssl_in_use, NO_TLS)
        else:
            self._warn(1, remote, DEVELOPMENT)

    def _warn(self, kind: int, applies: bool, message: str, *arguments: object) -> None:
        if applies and not self._said[kind]:
            logger.warning(message, *arguments)
        self._said[kind] = applies


def is_remote(connection: Connection) -> bool:
    """Return whether the peer is neither a Unix socket nor a loopback address.

    The address is checked, because a host name does not tell which machine it leads to.
    """
    try:
        with socket.socket(fileno=os.dup(connection.socket)) as copy:
            peer = copy.getpeername()
    except OSError:  # it is already gone
        return False
    return isinstance(peer, tuple) and not is_loopback(peer[0])
