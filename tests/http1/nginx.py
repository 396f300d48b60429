"""nginx as it is often configured for WebSockets: it forwards the upgrade that a client offers.

Its connections to the service stay open, and all clients share them.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.http1.wire import Address
from tests.support.processes import free_port, until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/log; user root; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream service {{ server {service.host}:{service.port}; keepalive 8; }}
    server {{
        listen {front.host}:{front.port};
        large_client_header_buffers 8 64k;
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_next_upstream off;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        location / {{ proxy_pass http://service; }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, service: Address) -> Iterator[Address]:
    """Run nginx in front of `service`, and yield its address."""
    if not Path(NGINX).exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("nginx is missing")
    front = Address("127.0.0.1", free_port())
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, service=service, front=front))
    command = [NGINX, "-p", str(folder), "-c", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: front.listens() or process.poll() is not None, "nginx to start")
            assert process.poll() is None, (folder / "log").read_text()
            yield front
        finally:
            process.terminate()
