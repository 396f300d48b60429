"""libpq's cancel request, on the event loop.

When a client abandons a statement, the server keeps running it and holding its locks. Since version
17 libpq can send a cancel request without blocking, over the same address and TLS as the connection
(https://www.postgresql.org/docs/current/libpq-cancel.html). psycopg2 has only the older call. That
call does not support TLS. It also blocks a thread, and the exit of the process, for as long as the
server is frozen.
"""

import asyncio
import threading

from psycopg2.extensions import connection as Connection

from postgres.libpq import libpq

CANCEL_TIMEOUT = 1.0  # seconds
# PgBouncer itself ends a request after cancel_wait_timeout, 10 s. If its client leaves earlier,
# PgBouncer may crash (https://github.com/pgbouncer/pgbouncer/pull/846).
REQUEST_TIMEOUT = 12.0  # seconds
# Requests at a time, and the seconds that another waits for its turn. Each that a frozen server
# leaves in PgBouncer takes PgBouncer 0.3 s afterwards, when the server responds again.
MAX_REQUESTS = 4
TURN_TIMEOUT = 1.0
READING, WRITING = 1, 2  # PostgresPollingStatusType

# The event loop itself keeps only weak references to tasks.
_requests: set[asyncio.Task[None]] = set()
_turns = threading.local()


async def cancel(connection: Connection) -> None:
    """Ask the server to cancel the statement of `connection`, which must still be open.

    The request may have no effect: the server may have finished the statement, or may not be there.
    PgBouncer drops the request while the statement still waits for a server
    (https://github.com/pgbouncer/pgbouncer/issues/1222). Takes TURN_TIMEOUT and CANCEL_TIMEOUT at
    most; after that the request goes on by itself.
    """
    turns = _turns_of_loop()
    try:
        await asyncio.wait_for(turns.acquire(), TURN_TIMEOUT)
    except TimeoutError:
        return
    request = asyncio.create_task(_send(connection))
    _requests.add(request)
    request.add_done_callback(_requests.discard)
    request.add_done_callback(lambda _: turns.release())
    await asyncio.wait([request], timeout=CANCEL_TIMEOUT)


def _turns_of_loop() -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    if getattr(_turns, "loop", None) is not loop:
        _turns.loop, _turns.semaphore = loop, asyncio.Semaphore(MAX_REQUESTS)
    semaphore: asyncio.Semaphore = _turns.semaphore
    return semaphore


async def abandon_requests() -> None:
    """End the requests of this event loop that are still waiting for the server."""
    loop = asyncio.get_running_loop()
    waiting = [request for request in _requests if request.get_loop() is loop]
    for request in waiting:
        request.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _send(connection: Connection) -> None:
    request = libpq.PQcancelCreate(connection.pgconn_ptr)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT):
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
