"""libpq's cancel request, on the event loop.

When a client abandons a statement, the server keeps running it and holding its locks. Since version
17 libpq can send a cancel request without blocking, over the same address and TLS as the connection
(https://www.postgresql.org/docs/current/libpq-cancel.html). psycopg2 has only the older call. That
call does not support TLS. It also blocks a thread, and the exit of the process, for as long as the
server is frozen.
"""

import asyncio

from psycopg2.extensions import connection as Connection

from postgres.libpq import libpq

CANCEL_TIMEOUT = 1.0  # seconds
READING, WRITING = 1, 2  # PostgresPollingStatusType


async def cancel(connection: Connection) -> None:
    """Ask the server to cancel the statement of `connection`, which must still be open.

    The request may have no effect: the server may have finished the statement, or may not be there.
    PgBouncer drops the request while the statement still waits for a server
    (https://github.com/pgbouncer/pgbouncer/issues/1222). Takes CANCEL_TIMEOUT at most.
    """
    request = libpq.PQcancelCreate(connection.pgconn_ptr)
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT):
            if libpq.PQcancelStart(request):
                while (state := libpq.PQcancelPoll(request)) in (READING, WRITING):
                    await _ready(libpq.PQcancelSocket(request), state)
    except TimeoutError:
        pass
    finally:
        libpq.PQcancelFinish(request)


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
