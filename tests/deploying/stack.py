"""The service, the auth server and nginx as processes, with one Postgres that listens on TCP."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg2

from development.database import running_postgres
from tests.support.processes import free_port, sources, until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
# The directives that the image's own configuration has around `server`, with paths that any user
# may write to.
AROUND = """\
daemon off; pid {folder}/pid; error_log {folder}/log; {user}
events {{ }}
http {{
    include /etc/nginx/mime.types;
    log_format seen '$request_method https://$http_host$uri';
    access_log {folder}/access seen;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{servers}
}}
"""


@contextmanager
def postgres(folder: Path, name: str, password: str) -> Iterator[int]:
    """Run Postgres with a database and a user called `name`, and yield its port."""
    port = free_port()
    with running_postgres(folder, port) as url:
        with closing(psycopg2.connect(host=url.query["host"], user=url.username)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
                cursor.execute(f"CREATE DATABASE {name} OWNER {name}")
        yield port


@contextmanager
def process(command: list[str], folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run a process while the context is open, then stop it as a container engine does."""
    with subprocess.Popen(command, cwd=folder, env=variables) as running:
        try:
            yield
            assert running.poll() is None, f"{command} ended with code {running.returncode}"
            running.terminate()
            assert running.wait(15) == 0, f"{command} ended with code {running.returncode}"
        finally:
            running.kill()


@contextmanager
def service(variables: dict[str, str]) -> Iterator[None]:
    """Run the service with these variables."""
    bare = {"PATH": os.environ["PATH"], **variables}
    with process([sys.executable, "main.py"], sources(), bare):
        yield


@contextmanager
def nginx(folder: Path, servers: str) -> Iterator[None]:
    """Check a configuration with `nginx -t`, then run nginx with it."""
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(AROUND.format(folder=folder, user=user, servers=servers))
    command = [NGINX, "-p", str(folder), "-c", str(path)]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr, tested.stderr
    with process(command, folder, {}):
        until((folder / "pid").exists, "nginx to listen")
        yield


def until_ok(url: str) -> None:
    """Wait until a GET has the status 200."""

    def is_ok() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(url, timeout=5, verify=False).status_code == 200
        return False

    until(is_ok, url)


def replaced(text: str, places: dict[str, str]) -> str:
    """Return `text` with all names or addresses of `places` replaced in one pass."""
    return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)
