"""libpq's cancel request, on the event loop.

When a client abandons a statement, the server keeps running it and holding its locks. Since version
17 libpq can send a cancel request without blocking, over the same address and TLS as the connection
(https://www.postgresql.org/docs/current/libpq-cancel.html). psycopg2 has only the older call, which
does not support TLS. While the server is frozen, that call also blocks a thread and keeps the
process from exiting.
"""

import asyncio
import threading

from psycopg2.extensions import connection as Connection

from postgres.libpq import libpq
from postgres.readiness import ready

CANCEL_TIMEOUT = 1.0  # seconds
# PgBouncer ends a cancel request after cancel_wait_timeout, 10 s. If the client disconnects
# earlier, PgBouncer may crash (https://github.com/pgbouncer/pgbouncer/pull/846).
REQUEST_TIMEOUT = 12.0  # seconds
# The number of concurrent requests, and the seconds that another one waits for its turn. When a
# frozen server responds again, PgBouncer takes 0.3 s for each request that is left in it.
MAX_REQUESTS = 4
TURN_TIMEOUT = 1.0
READING, WRITING = 1, 2  # PostgresPollingStatusType

# These sets keep the tasks from being garbage collected, because an event loop has only weak
# references to them. They may have tasks of several event loops, one of which may have ended.
_cancellations: set[asyncio.Task[None]] = set()
_requests: set[asyncio.Task[None]] = set()
_turns = threading.local()


def cancel_and_close(connection: Connection, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Start a task that cancels the statement of `connection` and then closes the connection."""
    cancellation = loop.create_task(_cancel_and_close(connection))
    _cancellations.add(cancellation)
    cancellation.add_done_callback(_cancellations.discard)
    return cancellation


async def wait_for_cancellations() -> None:
    """Wait until every abandoned statement is cancelled, or until `cancel` has given up."""
    await asyncio.gather(*_of_this_loop(_cancellations), return_exceptions=True)
    await abandon_requests()


def _of_this_loop(tasks: set[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    return [task for task in tasks if task.get_loop() is loop]


async def _cancel_and_close(connection: Connection) -> None:
    """Cancel before closing: a pooler drops the mapping when its client disconnects."""
    try:
        await cancel(connection)
    finally:
        Connection.close(connection)  # psycopg2's own method, because ours waits for this task


async def cancel(connection: Connection) -> None:
    """Ask the server to cancel the statement of `connection`, which must still be open.

    The request may have no effect: the server may have finished the statement, or may be
    unreachable. PgBouncer drops the request if the statement is still waiting for a server
    (https://github.com/pgbouncer/pgbouncer/issues/1222). This function returns after TURN_TIMEOUT
    and CANCEL_TIMEOUT at most. The request then continues in the background.
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
    waiting = _of_this_loop(_requests)
    for request in waiting:
        request.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _send(connection: Connection) -> None:
    request = libpq.PQcancelCreate(connection.pgconn_ptr)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT):
            if libpq.PQcancelStart(request):
                while (state := libpq.PQcancelPoll(request)) in (READING, WRITING):
                    await ready(libpq.PQcancelSocket(request), reading=state == READING)
    except TimeoutError:
        pass
    finally:
        libpq.PQcancelFinish(request)
