"""Why a connection could not be opened, by the SQLSTATE that the server sent, or by libpq's words.

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


# The classes of trouble, each with the SQLSTATEs, or their beginnings, that stand for it.
_KINDS = {
    "authentication": ("28",),
    "no such database": ("3D",),
    "permission": ("42501",),
    "refused parameter": ("0A", "22", "42"),
    "too many connections": ("53300",),
    "disk full": ("53100",),
    "out of resources": ("53",),
    "system error": ("58",),
    "starting or stopping": ("57",),
    "not accepting connections": ("55000",),
}
# The same by the words of libpq, which are English, and of PgBouncer, which sends 08P01 for all.
# The order matters: libpq's words for TLS name other causes too.
_WORDS = {
    "DNS": "has no address|could not translate host name",
    "refused parameter": "startup parameter|invalid connection option|invalid value for",
    "TLS": "SSL|certificate|TLS",
    "too many connections": "no more connections allowed|too many",
    "authentication": "password|SASL|SCRAM|authentication|channel binding|no such user",
    "no such database": "no such database",
    "timeout": "timed? ?out|timeout",
    "refused": "Connection refused|No such file or directory",
    "unreachable": "unreachable|No route to host",
    "closed": "closed the connection|reset by peer|Broken pipe|EOF",
}
MAX_SENTENCE = 500  # characters; a host may have many addresses


class ConnectError(psycopg2.OperationalError):
    """Connecting failed; `sqlstate` is what the server sent, or None if it sent no error."""

    def __init__(self, error: Exception) -> None:
        message = _message(error)
        super().__init__(message)
        # libpq has one text for all attempts: over TLS and without, and at each address.
        found = _SQLSTATE.findall(message)
        self.sqlstate: str | None = found[-1] if found else None


def kind(error: BaseException) -> str:
    """Return the class of the trouble that `error` shows, in a word or a few."""
    if isinstance(error, TimeoutError):
        return "timeout"
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    words = re.sub('"[^"]*"', "", str(error))  # without names, which may be any word
    by_words = (name for name, pattern in _WORDS.items() if re.search(pattern, words))
    by_sqlstate = (name for name, states in _KINDS.items() if sqlstate.startswith(states))
    if sqlstate == "28000" and "no encryption" in words and "SSL encryption" not in words:
        return "TLS or authentication"  # pg_hba.conf has no line for a connection without TLS
    return next(by_sqlstate, None) or next(by_words, "connection")


def sentence(error: BaseException) -> str:
    """Return what libpq or the server says about `error`, on one line.

    It has hosts, ports and users in it, and never a password. SQLSTATEs, hints, and the place in
    the server's source are left out.
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
