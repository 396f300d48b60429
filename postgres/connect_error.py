"""Find out why a connection could not be opened, from its SQLSTATE or from libpq's message.

psycopg2 has no SQLSTATE for a connection error, and the server's message is in the server's
language. But libpq includes the SQLSTATE in its message if its verbosity is set to VERBOSE
(https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQSETERRORVERBOSITY).
"""

import re

import psycopg2
from psycopg2.extensions import connection as Connection

from postgres.libpq import libpq

DEFAULT, VERBOSE = 1, 2  # PGVerbosity

# Classes of SQLSTATE that another attempt would get again: a wrong password or user (28), no such
# database (3D), no right to connect (42), a setting that the server refuses (22, 0A)
# (https://www.postgresql.org/docs/current/errcodes-appendix.html). Other errors may be temporary:
# too many connections (53), a server that starts or stops (57), a pooler without a server (08).
PERMANENT = ("0A", "22", "28", "3D", "42")
# PgBouncer sends this SQLSTATE for every error. Another attempt would get these kinds again.
POOLER_ERROR = "08P01"
PERMANENT_KINDS = ("authentication", "no such database")

# The SQLSTATE follows the severity, which is one or two words in any language. Nothing further on
# in the line is searched, because it may quote names.
_SQLSTATE = re.compile(r'^(?:.*? failed: )?[^":\n]+:  ([0-9A-Z]{5}): ', re.MULTILINE)


# The kinds of problems, each with its SQLSTATEs or their first characters.
_KINDS = {
    "authentication": ("28",),
    "no such database": ("3D",),
    "permission": ("42501",),
    "refused parameter": ("0A", "22", "42"),
    "too many connections": ("53300",),
    "disk full": ("53100",),
    "out of resources": ("53",),
    "system error": ("58",),
    "timeout": ("57014", "55P03"),
    "starting or stopping": ("57",),
    "not accepting connections": ("55000",),
}
# The same kinds, by words in the messages of libpq and PgBouncer, which are in English. The order
# matters, because libpq's TLS messages mention other causes too.
_WORDS = {
    "DNS": "has no address|could not translate host name",
    "refused parameter": "startup parameter|invalid connection option|invalid (integer )?value +for"
    "|could not match",
    "not PostgreSQL": "invalid response to SSL negotiation|expected authentication request",
    "TLS": "SSL|certificate|TLS",
    "too many connections": "no more connections allowed|too many",
    "authentication": "password|SASL|SCRAM|authentication|channel binding|no such user"
    "|role +(does not exist|is not permitted)|pg_hba.conf",
    "no such database": "no such database|database +does not exist",
    "permission": "permission denied for database",
    "not accepting connections": "not currently accepting connections",
    "starting or stopping": "the database system is ",
    "timeout": "timed? ?out|timeout",
    "refused": "Connection refused|No such file or directory",
    "unreachable": "unreachable|No route to host",
    "closed": "closed the connection|reset by peer|Broken pipe|EOF",
}
MAX_SENTENCE = 500  # characters; a host may have many addresses


class ConnectError(psycopg2.OperationalError):
    """A connection attempt that failed. Its `sqlstate` is None if the server sent no error."""

    def __init__(self, error: Exception) -> None:
        message = _message(error)
        super().__init__(message)
        # libpq returns one message for all attempts: with and without TLS, and at each address.
        found = _SQLSTATE.findall(message)
        self.sqlstate: str | None = found[-1] if found else None


def kind(error: BaseException) -> str:
    """Return the kind of problem that caused `error`, in a few words."""
    if isinstance(error, TimeoutError):
        return "timeout"
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    words = re.sub('"[^"]*"', "", str(error))  # without names, which may contain any word
    by_words = (name for name, pattern in _WORDS.items() if re.search(pattern, words))
    by_sqlstate = (name for name, states in _KINDS.items() if sqlstate.startswith(states))
    if sqlstate == "28000" and "no encryption" in words and "SSL encryption" not in words:
        return "TLS or authentication"  # pg_hba.conf has no line for a connection without TLS
    return next(by_sqlstate, None) or next(by_words, "connection")


def sentence(error: BaseException) -> str:
    """Return the message of libpq or the server for `error`, on one line.

    It may contain hosts, ports and users, but never a password. SQLSTATEs, hints and positions in
    the server's source code are left out.
    """
    if isinstance(error, TimeoutError):
        return "it does not respond in time"
    if primary := getattr(getattr(error, "diag", None), "message_primary", None):
        return str(primary)  # without the details, which may quote a row
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    kept = [line for line in lines if not re.match(r"[^ ]+:  [\w. ]+, [\w.]+:\d+$", line)]
    said = "; ".join(dict.fromkeys(re.sub(r":  [0-9A-Z]{5}: ", ": ", line) for line in kept))
    return said[:MAX_SENTENCE] or type(error).__name__


def is_transient(error: BaseException) -> bool:
    """Return whether it is worth trying to connect again at once.

    It is not if the server sent an error of a PERMANENT class, if PgBouncer sent one of
    PERMANENT_KINDS, or if connecting timed out. If the server sent no error (connection refused,
    reset or closed, no address, TLS failure), the cause is not known, and another attempt may
    succeed. So an untrusted certificate counts as transient too.
    """
    if not isinstance(error, ConnectError):
        return False
    if error.sqlstate == POOLER_ERROR:
        return kind(error) not in PERMANENT_KINDS
    return not (error.sqlstate or "").startswith(PERMANENT)


def show_sqlstates(connection: Connection, *, show: bool) -> None:
    """Make libpq include SQLSTATEs in its error messages, or leave them out."""
    libpq.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE if show else DEFAULT)


def _message(error: Exception) -> str:
    """Return the message of `error`, even if psycopg2 could not decode it.

    While connecting, the message is in the server's encoding. If the peer is not a Postgres, it may
    be any bytes.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode(errors="replace")
    return str(error)
