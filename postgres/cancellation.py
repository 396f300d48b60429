"""libpq's cancel request, on the event loop.

When a client abandons a statement, the server keeps running it and holding its locks. Since version
17 libpq can send a cancel request without blocking, over the same address and TLS as the connection
(https://www.postgresql.org/docs/current/libpq-cancel.html). psycopg2 has only the older call. That
call does not support TLS. It also blocks a thread, and the exit of the process, for as long as the
server is frozen. But psycopg2 exposes its raw connection for such a use
(https://www.psycopg.org/docs/connection.html#connection.pgconn_ptr).
"""

import asyncio
import ctypes
import sys

from psycopg2 import _psycopg
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import libpq_version

CANCEL_TIMEOUT = 1.0  # seconds
READING, WRITING = 1, 2  # PostgresPollingStatusType
CANCEL_FUNCTIONS = (
    "PQcancelCreate",
    "PQcancelStart",
    "PQcancelPoll",
    "PQcancelSocket",
    "PQcancelFinish",
)
TOO_OLD = (
    "psycopg2 is linked to libpq {version}, which has no PQcancelCreate: the service needs "
    "libpq 17 or newer to cancel statements. Install the wheel of psycopg2-binary, which "
    "contains it, in place of a psycopg2 that was built from source."
)


def load_libpq(path: str) -> ctypes.CDLL:
    """Return the libpq that the module at `path` is linked to, with its functions declared.

    Its symbols are found through the module. Raises SystemExit with a sentence if they are missing.
    """
    libpq = ctypes.CDLL(path)
    try:
        libpq.PQcancelCreate.restype = ctypes.c_void_p
        for name in CANCEL_FUNCTIONS:
            getattr(libpq, name).argtypes = [ctypes.c_void_p]
    except AttributeError:
        major, minor = divmod(libpq_version(), 10_000)
        sys.exit(TOO_OLD.format(version=f"{major}.{minor}"))
    return libpq


_libpq = load_libpq(_psycopg.__file__)


async def cancel(connection: Connection) -> None:
    """Ask the server to cancel the statement of `connection`, which must still be open.

    The request may have no effect: the server may have finished the statement, or may not be there.
    PgBouncer drops the request while the statement still waits for a server
    (https://github.com/pgbouncer/pgbouncer/issues/1222). Takes CANCEL_TIMEOUT at most.
    """
    request = _libpq.PQcancelCreate(connection.pgconn_ptr)
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT):
            if _libpq.PQcancelStart(request):
                while (state := _libpq.PQcancelPoll(request)) in (READING, WRITING):
                    await _ready(_libpq.PQcancelSocket(request), state)
    except TimeoutError:
        pass
    finally:
        _libpq.PQcancelFinish(request)


async def _ready(socket: int, state: int) -> None:
    """Wait until `socket` can be read or written."""
    loop = asyncio.get_running_loop()
    reading = state == READING
    watch, forget = (
        (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
    )
    ready = asyncio.Event()
    watch(socket, ready.set)
    try:
        await ready.wait()
    finally:
        forget(socket)
