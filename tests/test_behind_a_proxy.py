"""The service behind nginx, which terminates TLS and also serves the service under a prefix.

These tests need nginx (Debian: apt-get install nginx-light).
"""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy.engine import URL

from main import create_app
from serving import server
from tests.support.processes import free_port, until
from tests.support.services import database_of_its_own, sql
from tests.support.serving import bearer, make_settings

pytestmark = pytest.mark.slow

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CLIENT = "127.0.0.2"  # not the address of nginx
TASKS = "/api/alice/tasks"
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/log; user root;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream service {{ server 127.0.0.1:{service}; keepalive 8; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
        location / {{ proxy_pass http://service; }}
        location /backend/ {{ proxy_pass http://service/; }}
    }}
    server {{  # nginx's defaults: HTTP/1.0, and a connection for each request
        listen 127.0.0.1:{plain};
        location / {{ proxy_http_version 1.0; proxy_pass http://127.0.0.1:{service}; }}
    }}
}}
"""


class Ports(NamedTuple):
    service: int
    tls: int
    plain: int


class Front(NamedTuple):
    """Clients with alice's token: through nginx over HTTPS and HTTP, and directly."""

    https: httpx.Client
    http: httpx.Client
    direct: httpx.Client


Serve = Callable[..., AbstractContextManager[Front]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        write_certificate(Path(name))
        yield Path(name)


def write_certificate(folder: Path) -> None:
    """Write a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, *private))


@contextmanager
def nginx(folder: Path, ports: Ports) -> Iterator[None]:
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, **ports._asdict()))
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: listens(ports.tls) or process.poll() is not None, "nginx to start")
            assert process.poll() is None, (folder / "log").read_text()
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def who_am_i(request: Request) -> JSONResponse:
    """Return the client's address, the scheme and the URL as the service sees them."""
    client = request.client.host if request.client else None
    return JSONResponse({"client": client, "scheme": request.url.scheme, "url": str(request.url)})


@contextmanager
def served(url: URL, port: int, **settings: Any) -> Iterator[None]:
    """Run the service as serving/server.py does, with an extra route."""
    configured = make_settings(
        url, environment="production", host="127.0.0.1", port=port, **settings
    )
    app = create_app(configured)
    app.add_route("/who-am-i", who_am_i)
    serving = uvicorn.Server(server.config(app, configured))
    listener = server._listen(configured)
    thread = threading.Thread(target=serving.run, args=([listener],))
    thread.start()
    try:
        until(lambda: serving.started or not thread.is_alive(), "the service to start")
        yield
    finally:
        serving.should_exit = True
        thread.join(15)
        listener.close()


@pytest.fixture(scope="module")
def database(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def serve(database: URL, folder: Path) -> Serve:
    """A function that runs nginx and a service with the given settings."""
    if not Path(NGINX).exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("nginx is missing")
    trust = ssl.create_default_context(cafile=folder / "certificate")

    def client(scheme: str, port: int) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=trust, local_address=CLIENT)
        base_url = f"{scheme}://127.0.0.1:{port}"
        return httpx.Client(
            base_url=base_url, headers=bearer("alice"), transport=transport, timeout=20
        )

    @contextmanager
    def serve(**settings: Any) -> Iterator[Front]:
        ports = Ports(free_port(), free_port(), free_port())
        with (
            served(database, ports.service, **settings),
            nginx(folder, ports),
            client("https", ports.tls) as https,
            client("http", ports.plain) as http,
            client("http", ports.service) as direct,
        ):
            yield Front(https, http, direct)

    return serve


@pytest.fixture(scope="module")
def front(serve: Serve) -> Iterator[Front]:
    """The service with no proxy in its settings."""
    with serve() as front:
        yield front


FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher"}


def believed(client: httpx.Client) -> tuple[str, str]:
    answer = client.get("/who-am-i", headers=FORGED).json()
    return answer["client"], answer["scheme"]


def test_forwarded_headers_are_not_trusted_by_default(front: Front) -> None:
    assert believed(front.https) == ("127.0.0.1", "http")
    assert believed(front.direct) == (CLIENT, "http")


@pytest.mark.parametrize("trusted", ["127.0.0.1", "10.0.0.0/8, 127.0.0.1/32"])
def test_only_a_trusted_proxy_may_set_forwarded_headers(serve: Serve, trusted: str) -> None:
    with serve(forwarded_allow_ips=trusted) as front:
        assert believed(front.https) == (CLIENT, "https")
        assert believed(front.http) == (CLIENT, "http")
        assert believed(front.direct) == (CLIENT, "http")


def test_a_proxy_outside_the_trusted_range_is_not_trusted(serve: Serve) -> None:
    with serve(forwarded_allow_ips="10.0.0.0/8") as front:
        assert believed(front.https) == ("127.0.0.1", "http")


@pytest.mark.parametrize("user_id", ["alice", "Zoë+1 100%?#&;é@[x]"])
def test_the_location_header_works_through_the_proxy(front: Front, user_id: str) -> None:
    path, token = f"/api/{quote(user_id, safe='')}/tasks", bearer(user_id)
    for client in (front.https, front.http):
        response = client.post(path, json={"title": "Buy milk"}, headers=token)
        assert response.status_code == 201
        location = response.headers["location"]
        assert location == f"{path}/{response.json()['id']}"
        assert client.get(location, headers=token).json() == response.json()


def test_every_link_has_the_prefix_of_root_path(serve: Serve) -> None:
    with serve(root_path="/backend") as front:
        response = front.https.post(f"/backend{TASKS}", json={"title": "Buy milk"})
        assert response.headers["location"] == f"/backend{TASKS}/{response.json()['id']}"
        assert front.https.get(response.headers["location"]).json() == response.json()
        assert front.https.put(f"/backend{TASKS}").headers["allow"] == "DELETE, GET, HEAD, POST"
        assert front.https.get("/backend/").headers["location"] == "/backend/docs"
        page = front.https.get("/backend/docs").text
        document = "/backend/docs/openapi.json"
        for asset in ("/backend/docs/assets/swagger-ui-bundle.js", document):
            assert asset in page
            assert front.https.get(asset).status_code == 200
        assert front.https.get(document).json()["servers"] == [{"url": "/backend"}]


def test_openapi_servers_has_the_address_that_the_client_used(serve: Serve) -> None:
    """For an untrusted proxy it has only the path: X-Forwarded-Proto shows another address."""
    for trusted, expected in (("127.0.0.1", "{address}/backend"), ("", "/backend")):
        with serve(root_path="/backend", forwarded_allow_ips=trusted) as front:
            address = str(front.https.base_url).rstrip("/")
            servers = front.https.get("/backend/openapi.json").json()["servers"]
            assert servers == [{"url": expected.format(address=address)}]


@pytest.mark.parametrize(
    "path",
    ["/docs/", "/redoc/", "//api/alice/tasks", "/health/", "/openapi.json/"],
)
def test_only_the_root_path_is_redirected(front: Front, path: str) -> None:
    for client in front:
        response = client.get(path)
        assert response.status_code == 404
        assert "location" not in response.headers


def test_a_streamed_list_arrives_whole(front: Front, database: URL) -> None:
    sql(
        database,
        "INSERT INTO tasks (user_id, title) SELECT 'bob', n FROM generate_series(1, 2500) n",
    )
    for client in front:
        assert client.get("/api/bob/tasks", headers=bearer("bob")).json()["count"] == 2500


def test_a_body_that_is_too_large_is_a_413_through_the_proxy(front: Front) -> None:
    for client in (front.https, front.http):
        response = client.post(TASKS, json={"title": "x" * 500_000})
        assert response.status_code == 413
        assert response.json()["code"] == "PAYLOAD_TOO_LARGE"


def test_an_idle_connection_stays_open_longer_than_nginx_keeps_one(front: Front) -> None:
    with closing(HTTPConnection("127.0.0.1", front.direct.base_url.port)) as connection:
        connection.connect()
        connection.auto_open = 0  # it must not connect again
        for _ in range(2):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() == b'{"status":"alive"}'
            time.sleep(6)  # uvicorn's default limit is 5 s; nginx's is 60 s
    assert server.KEEP_ALIVE > 60


def test_the_security_headers_pass_through(front: Front) -> None:
    for client in (front.https, front.http):
        for response in (client.get(TASKS), client.get("/nowhere")):
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "strict-transport-security" not in response.headers
