"""Waiting on the event loop for a socket of libpq."""

import asyncio


async def ready(socket: int, *, reading: bool) -> None:
    """Wait until `socket` can be read, or else written."""
    loop = asyncio.get_running_loop()
    watch, forget = (
        (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
    )
    is_ready = asyncio.Event()
    watch(socket, is_ready.set)
    try:
        await is_ready.wait()
    finally:
        forget(socket)
