"""Check that Node.js is installed, and install the packages of a folder."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from sqlalchemy.engine import URL

from examples.processes import Processes

OLDEST = (20, 19)  # for Vite (https://vite.dev/guide/)
MISSING = "Node.js 20.19 or later is needed, with npm: https://nodejs.org"
INSTALL = ("ci", "--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier")


def check() -> None:
    """End the process with a message if node or npm is missing or too old."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        sys.exit(f"{MISSING}.")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    found = re.match(r"v(\d+)\.(\d+)", version)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        sys.exit(f"{MISSING}. {node} is {version or 'broken'}.")


def install(folder: Path, processes: Processes) -> None:
    """Install the packages of the lock file, unless that was done after its last change."""
    lock, done = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        processes.run(folder.name, [str(shutil.which("npm")), *INSTALL], folder, {})


def command(*arguments: str) -> list[str]:
    """Return the command that runs Node on `arguments`."""
    return [str(shutil.which("node")), *arguments]


def database_url(url: URL) -> str:
    """Return `url` as node-postgres expects it: with a host, even if it names a socket's folder.

    https://node-postgres.com/features/connecting#unix-domain-sockets
    """
    has_socket = not url.host and "host" in url.query
    shown = url.set(drivername="postgresql", host="localhost" if has_socket else url.host)
    return shown.render_as_string(hide_password=False)
