"""The service while no DNS server responds. This needs root: a mount namespace and port 53."""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.network.conftest import need
from tests.support.fault_proxy import fault_proxy
from tests.support.issuer import Pair
from tests.support.processes import Service, started
from tests.support.services import database_of_its_own, eventually

NAMESERVER = "127.0.0.77"
# One lookup takes 90 seconds.
SLOW = f"nameserver {NAMESERVER}\noptions timeout:30 attempts:3\n"
QUICK = f"nameserver {NAMESERVER}\noptions timeout:2 attempts:2\n"
UNREACHABLE = "postgresql://app:x@db.slow.example:6502/tasks?sslmode=require"
# Replace this process by the service, for which the given file is /etc/resolv.conf.
MOUNT = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
IN_NAMESPACE = f"""
import os, sys
shell = ["sh", "-c", {MOUNT!r}, sys.argv[1], sys.executable, "main.py"]
os.execvp("unshare", ["unshare", "--mount", "--propagation=private", *shell])
""".replace("{", "{{").replace("}", "}}")

Serve = Callable[..., AbstractContextManager[Service]]


class Nameserver:
    """A DNS server that responds only while `responds` is set: every name is 127.0.0.1."""

    def __init__(self) -> None:
        self.responds = False
        self.questions = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAMESERVER, 53))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (NAMESERVER, 53))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while (received := self._socket.recvfrom(4096))[0]:
            query, client = received
            self.questions += 1
            if self.responds:
                self._socket.sendto(_response(query), client)


def _response(query: bytes) -> bytes:
    """Return the response to a question (RFC 1035, section 4.1): an A record, but no AAAA."""
    question = query[12 : query.index(0, 12) + 5]
    is_a = question.endswith(b"\0\1\0\1")
    header = query[:2] + struct.pack("!5H", 0x8180, 1, is_a, 0, 0)
    record = struct.pack("!3HIH4B", 0xC00C, 1, 1, 0, 4, 127, 0, 0, 1)
    return header + question + record * is_a


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    if sys.platform != "linux" or os.geteuid() != 0:
        need("A mount namespace and port 53 need root on Linux.")
    server = Nameserver()
    yield server
    server.close()


@pytest.fixture
def serve(nameserver: Nameserver, tmp_path: Path) -> Serve:
    """Start a service in production whose only nameserver is ours."""

    def serve(resolver: str, **settings: object) -> AbstractContextManager[Service]:
        file = tmp_path / "resolv.conf"
        file.write_text(resolver)
        defaults = {"environment": "production", "database_url": UNREACHABLE}
        return started(tmp_path, "-c", IN_NAMESPACE, str(file), **{**defaults, **settings})

    return serve


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_whose_database_has_no_dns_stops_in_time(
    serve: Serve, nameserver: Nameserver, workers: int
) -> None:
    with serve(SLOW, web_concurrency=workers) as service:
        with service.starts().client() as client:
            assert client.get("/api/alice/tasks").status_code == 503
            health = client.get("/health")
        assert (health.status_code, health.json()["database"]) == (503, "disconnected")
        # All attempts of a worker share one lookup, which asks for an A and an AAAA record.
        assert nameserver.questions == 2 * workers
        assert service.stops() == 0
        assert "Traceback" not in "\n".join(service.lines)


def test_a_service_whose_issuer_has_no_dns_stops_in_time(serve: Serve) -> None:
    with serve(SLOW, better_auth_url="https://auth.slow.example") as service:
        token = Pair("EdDSA").token({"sub": "alice", "exp": time.time() + 60})
        with service.starts().client() as client:
            headers = {"Authorization": f"Bearer {token}"}
            response = client.get("/api/alice/tasks", headers=headers)
        assert response.json()["code"] == "AUTH_UNAVAILABLE"
        assert service.stops() == 0


def test_a_service_recovers_when_dns_responds_again(
    serve: Serve, nameserver: Nameserver, postgres: URL
) -> None:
    with database_of_its_own(postgres) as url, fault_proxy(url, tls=False) as proxy:
        far = f"postgresql://{url.username}@db.slow.example:{proxy.port}/{url.database}"
        with serve(QUICK, database_url=f"{far}?sslmode=disable") as service:
            with service.starts().client() as client:
                assert client.get("/health").status_code == 503
                nameserver.responds = True
                eventually(lambda: client.get("/health").status_code == 200, 6)
                assert client.get("/api/alice/tasks").status_code == 200
            assert service.stops() == 0
