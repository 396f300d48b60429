"""An event loop whose lookups of host names do not delay the exit."""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """An event loop that looks names up in daemon threads, with one lookup at a time for a name.

    A lookup can't be cancelled, and takes minutes if no DNS server responds. The threads of other
    event loops complete their lookups before the loop closes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[Any, asyncio.Future[Any]] = {}

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Return the addresses of `host`, as `socket.getaddrinfo` does. Raises OSError."""
        key = (host, port, *sorted(hints.items()))
        if key not in self._lookups:
            found = self.create_future()
            look_up = partial(socket.getaddrinfo, host, port, **hints)
            Thread(target=self._complete, args=(found, look_up), daemon=True).start()
            self._lookups[key] = found
            # If every call was cancelled, nobody else retrieves the exception.
            found.add_done_callback(lambda done: (self._lookups.pop(key), done.exception()))
        return await asyncio.shield(self._lookups[key])

    def _complete(self, found: asyncio.Future[Any], look_up: partial[Any]) -> None:
        try:
            finish = partial(found.set_result, look_up())
        except Exception as error:
            finish = partial(found.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            self.call_soon_threadsafe(finish)
