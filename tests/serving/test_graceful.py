"""Graceful shutdown: what happens to connections and requests."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from serving import graceful, protocol
from serving.graceful import Server
from tests.support.processes import started, until

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"done"}
CLOSE = b"\r\nconnection: close\r\n"


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: tasks\r\n\r\n".encode()


class Running:
    """A server in a thread. The path tells its application what to do."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = listener.getsockname()
        self.blocked, self.release = threading.Event(), threading.Event()
        self.meanwhile: Callable[[], object] = lambda: None
        config = uvicorn.Config(
            self._application,
            loop="uvloop",
            http=protocol.Protocol,  # type: ignore[arg-type]  # as in serving/server.py
            log_config=None,
            interface="asgi3",
            lifespan="off",
            timeout_graceful_shutdown=10,
        )
        self.server = Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()
        until(lambda: self.server.started, "the server to start")

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":  # this blocks the whole event loop
            self.blocked.set()
            self.release.wait(10)
            self.meanwhile()
        if scope["path"] == "/overloaded":
            scope["state"]["overloaded"] = True
        await send(START)
        await send(END)

    @contextmanager
    def block(self) -> Iterator[None]:
        """Block the event loop, so that incoming data stays in the kernel."""
        with self.connect() as connection:
            connection.sendall(get("/block"))
            assert self.blocked.wait(10)
            yield
            self.release.set()
            assert received(connection)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def stop(self) -> None:
        self.server.should_exit = True

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def ends(self) -> None:
        self.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def running(listener: socket.socket) -> Iterator[Running]:
    running = Running(listener)
    yield running
    running.ends()


def received(connection: socket.socket) -> bytes:
    """Return the next response, or b"" if the server closed the connection."""
    content = b""
    while not content.endswith(b"0\r\n\r\n") and (part := connection.recv(65536)):
        content += part
    return content


def refuses(running: Running) -> bool:
    with suppress(ConnectionRefusedError), running.connect():
        return False
    return True


def test_a_request_on_an_open_connection_is_served_during_a_shutdown(running: Running) -> None:
    with running.connect() as connection, running.connect() as idle:
        connection.sendall(get("/"))
        assert CLOSE not in received(connection)
        running.stop()
        until(lambda: refuses(running), "the listener to close")
        connection.sendall(get("/"))
        assert CLOSE in received(connection)
        assert received(connection) == b""
        assert received(idle) == b""


def test_pipelined_requests_are_served_during_a_shutdown(running: Running) -> None:
    def announce() -> None:
        for connection in list(running.server.server_state.connections):
            connection.announce_close()  # type: ignore[union-attr]

    running.meanwhile = announce
    with running.connect() as connection:
        until(lambda: running.connections == 1, "the connection to be accepted")
        with running.block():
            connection.sendall(get("/") * 3)
        content = b""
        while part := connection.recv(65536):
            content += part
    assert content.count(b"HTTP/1.1 200 ") == 3
    assert content.count(CLOSE) == 1


def test_connections_in_the_accept_queue_are_served_during_a_shutdown(running: Running) -> None:
    with running.block():
        waiting = [running.connect() for _ in range(50)]
        for connection in waiting:
            connection.sendall(get("/"))
        running.stop()
        time.sleep(0.2)  # the server checks for a stop every 0.1 s, so it is now due
    for connection in waiting:
        with connection:
            assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_a_connection_with_an_unread_request_is_not_closed(running: Running) -> None:
    """The server closes idle connections at the moment when a request arrives."""

    def close_all() -> None:
        for connection in list(running.server.server_state.connections):
            connection.shutdown()

    running.meanwhile = close_all
    with running.connect() as quiet, running.connect() as connection:
        until(lambda: running.connections == 2, "both connections to be accepted")
        with running.block():
            connection.sendall(get("/"))
        assert CLOSE in received(connection)
        assert received(quiet) == b""


def test_a_paused_overloaded_client_is_read_again_during_a_shutdown(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "RETRY_AFTER", 60.0)
    with running.connect() as connection:
        connection.sendall(get("/overloaded"))
        assert received(connection)
        connection.sendall(get("/"))
        running.stop()
        assert CLOSE in received(connection)


@pytest.mark.parametrize("clients", [0, 1])
def test_a_shutdown_waits_only_if_there_are_clients(
    running: Running, monkeypatch: pytest.MonkeyPatch, clients: int
) -> None:
    monkeypatch.setattr(graceful, "DRAIN_TIME", 60.0)
    connections = [running.connect() for _ in range(clients)]
    until(lambda: running.connections == clients, "the clients to be accepted")
    running.stop()
    running.thread.join(0.5)
    assert running.thread.is_alive() == (clients > 0)
    for connection in connections:
        connection.close()
    running.thread.join(10)
    assert not running.thread.is_alive()


def test_a_second_signal_is_ignored(running: Running) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        running.server.handle_exit(number, None)
    assert running.server.should_exit
    assert not running.server.force_exit


@pytest.mark.slow
def test_a_second_signal_does_not_interrupt_a_shutdown(tmp_path: Path) -> None:
    settings = {"environment": "production", "database_url": "postgresql://u@127.0.0.1:1/d"}
    with started(tmp_path, **settings, host="127.0.0.1") as service:
        service.starts()
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            service.process.send_signal(signal.SIGHUP)
            until(
                lambda: "Waiting for 1 connection" in "".join(service.lines), "the service to stop"
            )
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                service.process.send_signal(number)
            connection.sendall(get("/health/live"))
            assert CLOSE in connection.recv(65536)
        assert service.process.wait(10) == 0
        assert "Finished server process" in service.lines[-1]


def shared_port(port: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    return listener


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_new_release_accepts_a_handshake_that_the_old_one_ignored() -> None:
    with shared_port() as first, shared_port(first.getsockname()[1]) as second:
        first.listen()
        with socket.create_connection(first.getsockname(), timeout=10) as connection:
            graceful.ignore_handshakes([first])
            with pytest.raises(TimeoutError):
                socket.create_connection(first.getsockname(), timeout=0.3)
            with first.accept()[0] as accepted:
                connection.sendall(b"still here")
                assert accepted.recv(100) == b"still here"
            with ThreadPoolExecutor(1) as threads:
                connecting = threads.submit(socket.create_connection, second.getsockname(), 10)
                time.sleep(0.3)
                second.listen()
                first.close()
                with connecting.result(), second.accept()[0]:
                    pass


@pytest.mark.slow
def test_no_connection_is_lost_when_a_release_replaces_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ignoring = Mock(wraps=graceful.ignore_handshakes)
    monkeypatch.setattr(graceful, "ignore_handshakes", ignoring)
    monkeypatch.setattr(graceful, "DRAIN_TIME", 0.2)
    with (
        shared_port() as first,
        shared_port(first.getsockname()[1]) as second,
        ExitStack() as stack,
    ):
        old, new = Running(first), Running(second)
        for each in (old, new):
            stack.callback(each.ends)

        def ask() -> int:
            asked = 0
            while old.thread.is_alive():
                with old.connect() as connection:
                    connection.sendall(get("/"))
                    assert received(connection)
                asked += 1
            return asked

        with ThreadPoolExecutor(8) as clients:
            asking = [clients.submit(ask) for _ in range(8)]
            time.sleep(0.1)
            old.ends()
            ignoring.assert_called_once()  # checked here because these clients seldom hit the race
            assert sum(each.result() for each in asking) > 100
        with new.connect() as connection:
            connection.sendall(get("/"))
            assert received(connection)
