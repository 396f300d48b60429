"""The error of a connection that could not be opened, with the SQLSTATE that the server sent.

psycopg2 has no SQLSTATE for an error of connecting, and the text of the server is in the language
of the server. But libpq writes the SQLSTATE into the text if its verbosity is set so
(https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQSETERRORVERBOSITY).
"""

import re

import psycopg2
from psycopg2.extensions import connection as Connection

from postgres.libpq import libpq

DEFAULT, VERBOSE = 1, 2  # PGVerbosity

# Classes of SQLSTATE that the same attempt meets again: a wrong password or user (28), no such
# database (3D), no right to connect (42), a setting that the server refuses (22, 0A)
# (https://www.postgresql.org/docs/current/errcodes-appendix.html). Every other class may pass:
# too many connections (53), a server that starts or stops (57), a pooler without a server (08).
PERMANENT = ("0A", "22", "28", "3D", "42")

# It follows the severity, which is a word or two of any language. Later, a line may quote names.
_SQLSTATE = re.compile(r'^(?:.*? failed: )?[^":\n]+:  ([0-9A-Z]{5}): ', re.MULTILINE)


class ConnectError(psycopg2.OperationalError):
    """Connecting failed; `sqlstate` is what the server sent, or None if it sent no error."""

    def __init__(self, error: Exception) -> None:
        message = _message(error)
        super().__init__(message)
        # libpq has one text for all attempts: over TLS and without, and at each address.
        found = _SQLSTATE.findall(message)
        self.sqlstate: str | None = found[-1] if found else None


def is_transient(error: BaseException) -> bool:
    """Return whether it is worth trying to connect again at once.

    It is, unless the server sent an error of a PERMANENT class, or the time is up. Without an error
    of the server (refused, reset, closed, no address, a failure of TLS) nothing is known except
    that there is no connection, and it is worth it. So a certificate that is not trusted counts as
    transient too.
    """
    return isinstance(error, ConnectError) and not (error.sqlstate or "").startswith(PERMANENT)


def show_sqlstates(connection: Connection, *, show: bool) -> None:
    """Make libpq write SQLSTATEs into its error messages, or no longer."""
    libpq.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE if show else DEFAULT)


def _message(error: Exception) -> str:
    """Return the text of `error`; libpq's own if psycopg2 could not decode it.

    While connecting, the text is in the encoding of the server, and may be anything if what
    responded is not a Postgres.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode(errors="replace")
    return str(error)
