"""A description of the machine and the versions for the reports."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from contenders import PYTHON

PACKAGES = (
    "fastapi starlette pydantic sqlmodel sqlalchemy psycopg2-binary uvicorn uvloop msgspec orjson"
)


def _field(path: str, name: str) -> str:
    """Return the value of the first line `name: value` of a file."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _output(*command: str) -> str:
    """Return the first line that a program prints, such as its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter((done.stdout + done.stderr).splitlines()), "unknown")


def _packages() -> str:
    found = []
    for name in PACKAGES.split():
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def describe(postgres: str, fastify: str) -> dict[str, str]:
    """Return the lines of the report about the machine, in order."""
    memory = int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Postgres": postgres,
        "Python": f"{_output(PYTHON, '--version').split()[1]} ({PYTHON}): {_packages()}",
        "Node": f"{_output('node', '--version')}: {fastify}",
        "wrk": " ".join(_output("wrk", "-v").split()[:2]),
    }
