"""A GET to an issuer: any response is understood, or refused in time and with a reason."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tokens import http_get
from tokens.http_get import FetchError

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def responding(*parts: bytes, pause: float = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that sends `parts` in response to one request, and yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with tls.wrap_socket(connection, server_side=True) if tls else connection as peer:
                peer.recv(65536)
                for part in parts:
                    peer.sendall(part)
                    time.sleep(pause)
        except OSError:  # the client has closed the connection
            connection.close()

    thread = Thread(target=serve)
    thread.start()
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://localhost:{listener.getsockname()[1]}/keys"
    finally:
        thread.join()
        listener.close()


def get(url: str, context: ssl.SSLContext | None = None, seconds: float = 5) -> bytes:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of the service
        return runner.run(http_get.get(url, context, seconds, 1000))


@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"Content-Length: 2\r\n\r\n{}"],
        [OK + b"Content-Length: 2\r\n\r\n", b"{", b"}"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n", b"}\r\n0\r\n\r\n"],
        [OK + b"\r\n{", b"}"],
        [b"HTTP/1.0 200 OK\r\n\r\n{}"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", OK + b"Content-Length: 2\r\n\r\n{}"],
    ],
)
def test_every_valid_form_of_response_is_understood(parts: list[bytes]) -> None:
    with responding(*parts, pause=0.02) as url:
        assert get(url) == b"{}"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "the response is empty"),
        ([b"\x16\x03\x01garbage\r\n\r\n"], "HttpParser"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "the response is 204"),
        (
            [b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"],
            "the response is 301",
        ),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], "HttpParser"),
        ([OK + b"X: " + b"x" * 2000 + b"\r\n\r\n{}"], "larger than 1000 bytes"),
        ([OK + b"Content-Length: 2000\r\n\r\n", b"x" * 2000], "larger than 1000 bytes"),
    ],
)
def test_every_other_response_is_refused(parts: list[bytes], reason: str) -> None:
    with responding(*parts) as url, pytest.raises(FetchError, match=reason):
        get(url)


def test_a_response_that_arrives_too_slowly_times_out() -> None:
    started = time.monotonic()
    with responding(*[OK, *[b"X: y\r\n"] * 100], pause=0.1) as url:
        with pytest.raises(FetchError, match=r"no response within 0\.3 s"):
            get(url, seconds=0.3)
        assert time.monotonic() - started < 5


def test_an_unreachable_or_unknown_host_is_a_fetch_error() -> None:
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        get("http://127.0.0.1:9/keys")
    for host in ("nowhere.invalid", "a..example", "x" * 64 + ".example"):
        with pytest.raises(FetchError, match="the host has no address"):
            get(f"http://{host}/keys")


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]]:
    """A function that makes TLS contexts: a server's for a name, and a client's that trusts it."""

    def make(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (tmp_path / "certificate").write_bytes(certificate.public_bytes(pem))
        (tmp_path / "key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
        return server, ssl.create_default_context(cafile=tmp_path / "certificate")

    return make


def test_an_issuer_needs_a_trusted_certificate_for_its_name(
    certified: Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]],
) -> None:
    server, trusting = certified("localhost")
    response = OK + b"Content-Length: 2\r\n\r\n{}"
    with responding(response, tls=server) as url:
        assert get(url, trusting) == b"{}"
    with responding(response, tls=server) as url, pytest.raises(FetchError, match="SSLCert"):
        get(url, ssl.create_default_context())
    server, trusting = certified("another.example")
    with responding(response, tls=server) as url, pytest.raises(FetchError, match="SSLCert"):
        get(url, trusting)
