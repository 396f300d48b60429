"""libpq functions that psycopg2 does not offer, called through ctypes, and a workaround for a bug.

psycopg2 exposes its raw connection for this purpose
(https://www.psycopg.org/docs/connection.html#connection.pgconn_ptr).
"""

import ctypes
import os
import sys
from collections.abc import Iterator

from psycopg2 import _psycopg
from psycopg2.extensions import libpq_version, make_dsn

FUNCTIONS = {
    "PQcancelCreate": [ctypes.c_void_p],
    "PQcancelStart": [ctypes.c_void_p],
    "PQcancelPoll": [ctypes.c_void_p],
    "PQcancelSocket": [ctypes.c_void_p],
    "PQcancelFinish": [ctypes.c_void_p],
    "PQsetErrorVerbosity": [ctypes.c_void_p, ctypes.c_int],
    "PQconnectStart": [ctypes.c_char_p],
    "PQconninfo": [ctypes.c_void_p],
    "PQconninfoFree": [ctypes.c_void_p],
    "PQfinish": [ctypes.c_void_p],
}
TOO_OLD = (
    "psycopg2 is linked to libpq {version}, which has no PQcancelCreate: the service needs "
    "libpq 17 or newer to cancel statements. Install the wheel of psycopg2-binary, which "
    "contains it, in place of a psycopg2 that was built from source."
)


def load_libpq(path: str) -> ctypes.CDLL:
    """Return the libpq that the module at `path` is linked to, with the types of its functions.

    The symbols are looked up through that module. Raises SystemExit with a message if one is
    missing.
    """
    library = ctypes.CDLL(path)
    try:
        for name in ("PQcancelCreate", "PQconnectStart", "PQconninfo"):
            getattr(library, name).restype = ctypes.c_void_p
        for name, types in FUNCTIONS.items():
            getattr(library, name).argtypes = types
    except AttributeError:
        major, minor = divmod(libpq_version(), 10_000)
        sys.exit(TOO_OLD.format(version=f"{major}.{minor}"))
    return library


libpq = load_libpq(_psycopg.__file__)


class Option(ctypes.Structure):
    """PQconninfoOption of libpq-fe.h."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label")),
        ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    )


def resolved_options(dsn: str) -> dict[str, str]:
    """Return the options that libpq would use, from `dsn`, its service file and the environment.

    libpq returns them only for a connection. The one made here has an address that libpq refuses,
    so it is never opened and no host name is resolved.
    """
    connection = libpq.PQconnectStart(make_dsn(dsn, hostaddr="/").encode())
    options = libpq.PQconninfo(connection)
    found = {}
    for option in iter_options(options):
        if option.val is not None and option.keyword != b"hostaddr":
            found[option.keyword.decode()] = option.val.decode(errors="replace")
    libpq.PQconninfoFree(options)
    libpq.PQfinish(connection)
    return found


def iter_options(address: int | None) -> Iterator[Option]:
    """Yield the options of the array at `address`, which ends with an option without a keyword."""
    while address and (option := Option.from_address(address)).keyword is not None:
        yield option
        address += ctypes.sizeof(Option)


# Without the setting `sslrootcert`, libpq 16 and later crash with a segmentation fault if a TLS
# handshake is cut off after the server's certificate, and that certificate is signed by an unknown
# authority: `open_client_SSL` in fe-secure-openssl.c then compares the setting, a null pointer,
# with "system". An empty string means the same default, and is not null. A URL, a service file and
# the environment override it.
os.environ.setdefault("PGSSLROOTCERT", "")
