"""A proxy for a database that corrupts or cuts off the server's data at an exact byte.

With TLS it decrypts, as a provider's proxy does. A CA that the client does not know signed its
P-256 certificate. The proxy counts the bytes on the wire.
"""

import os
import select
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trustme
from sqlalchemy.engine import URL

FAULTS = ("close", "reset", "half-close", "garbage", "silence")
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
INVERTED = bytes(255 - byte for byte in range(256))
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Spoiled(Exception):
    """Raised when the client may receive no more data."""


class FaultProxy:
    """A proxy that forwards everything, except for the one fault that `spoil` sets."""

    def __init__(self, target: URL, *, tls: bool) -> None:
        self._path = f"{target.query['host']}/.s.PGSQL.5432"
        self._context = _context() if tls else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = 0  # bytes since the last call of `spoil`, on all connections
        self._fault, self._after, self._frozen, self._slowly = "", 0, 0, False
        self._garbled: set[socket.socket] = set()

    def spoil(self, fault: str, after: int, *, freeze: int = 0, slowly: bool = False) -> None:
        """Forward the next `after` bytes, then apply `fault` once, to the sending connection.

        The process `freeze` is suspended while the last bytes and the fault arrive, so that it sees
        both at the same time. With `slowly`, each byte is sent in its own segment. The fault
        "garbage" inverts every later byte.
        """
        self.sent, self._frozen, self._slowly = 0, freeze, slowly
        self._after, self._fault = after, fault

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _relay(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError, Spoiled):
            server.connect(self._path)
            if self._context is None:
                self._exchange(client, server, lambda data: data, lambda data: data)
                return
            asked = client.recv(8, socket.MSG_WAITALL)
            if len(asked) < len(SSL_REQUEST):  # the client disconnected
                return
            assert asked == SSL_REQUEST
            self._deliver(client, b"S")
            self._exchange(client, server, *self._handshake(client, self._context))

    def _handshake(
        self, client: socket.socket, context: ssl.SSLContext
    ) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        """Complete the handshake, and return the functions that decrypt and encrypt."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        complete = False
        while not complete:
            try:
                tls.do_handshake()
                complete = True
            except ssl.SSLWantReadError:
                pass
            self._deliver(client, outgoing.read())
            if not complete:
                incoming.write(_received(client))

        def decrypt(data: bytes) -> bytes:
            incoming.write(data)
            plain = b""
            with suppress(ssl.SSLWantReadError):
                while part := tls.read(65536):
                    plain += part
            return plain

        def encrypt(data: bytes) -> bytes:
            tls.write(data)
            return outgoing.read()

        return decrypt, encrypt

    def _exchange(
        self,
        client: socket.socket,
        server: socket.socket,
        decrypt: Callable[[bytes], bytes],
        encrypt: Callable[[bytes], bytes],
    ) -> None:
        if pending := decrypt(b""):  # data that came with the end of the handshake
            server.sendall(pending)
        while True:
            readable, _, _ = select.select([client, server], [], [])
            if client in readable:
                server.sendall(decrypt(_received(client)))
            if server in readable:
                self._deliver(client, encrypt(_received(server)))

    def _deliver(self, client: socket.socket, data: bytes) -> None:
        left = self._after - self.sent
        self.sent += len(data)
        if client in self._garbled:
            self._send(client, data.translate(INVERTED))
        elif not self._fault or len(data) < left:
            self._send(client, data)
        else:
            with _stopped(self._frozen):
                self._spoil(client, data[:left], data[left:])

    def _spoil(self, client: socket.socket, good: bytes, rest: bytes) -> None:
        fault, self._fault = self._fault, ""
        self._send(client, good)
        if fault == "garbage":
            self._garbled.add(client)
            self._send(client, rest.translate(INVERTED))
            return
        if fault == "half-close":
            client.shutdown(socket.SHUT_WR)
        elif fault == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if fault in ("close", "reset"):
            client.close()
            raise Spoiled
        threading.Thread(target=_drain, args=(client.dup(),), daemon=True).start()
        raise Spoiled

    def _send(self, client: socket.socket, data: bytes) -> None:
        if self._slowly:
            for byte in data:
                client.sendall(bytes([byte]))
        elif data:
            client.sendall(data)


def _drain(client: socket.socket) -> None:
    """Read until the client closes the connection, and send nothing."""
    with client, suppress(OSError):
        while client.recv(65536):
            pass


@contextmanager
def _stopped(process: int) -> Iterator[None]:
    if not process:
        yield
        return
    os.kill(process, signal.SIGSTOP)
    try:
        yield
        time.sleep(0.005)
    finally:
        os.kill(process, signal.SIGCONT)


def _received(peer: socket.socket) -> bytes:
    data = peer.recv(65536)
    if not data:
        raise Spoiled
    return data


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # as Postgres does
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


@contextmanager
def fault_proxy(target: URL, *, tls: bool) -> Iterator[FaultProxy]:
    """Run a FaultProxy in its own threads."""
    proxy = FaultProxy(target, tls=tls)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
