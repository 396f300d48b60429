"""A TCP proxy between the browsers and the page's server, which can lose responses."""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Link:
    """Forwards everything, except for the responses that `lose` names.

    The server has processed a request whose response is lost. The browser sees a reset connection.
    """

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start, self._left = b"", 0
        self.lost = 0

    def lose(self, start: str, responses: int) -> None:
        """Lose the next responses to requests that begin with `start`."""
        self._start, self._left, self.lost = start.encode(), responses, 0

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                browser, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(browser,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _relay(self, browser: socket.socket) -> None:
        with browser, suppress(OSError), socket.create_connection(self._target) as server:
            is_lost = False
            while True:
                readable, _, _ = select.select([browser, server], [], [])
                if browser in readable:
                    request = browser.recv(65536)
                    is_lost = is_lost or self._is_lost(request)
                    server.sendall(request)
                if server in readable:
                    response = server.recv(65536)
                    if is_lost:
                        self.lost += 1
                        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        return
                    browser.sendall(response)
                    if not response:
                        return
                elif not request:
                    return

    def _is_lost(self, request: bytes) -> bool:
        is_lost = self._left > 0 and request.startswith(self._start)
        self._left -= is_lost
        return is_lost


@contextmanager
def link(target: int) -> Iterator[Link]:
    """Run a Link to the server on port `target` in its own threads."""
    proxy = Link(target)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
