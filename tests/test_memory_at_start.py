"""What the start leaves in memory. tests/test_memory.py measures the whole service under load."""

import sys

import pytest

from tests.support.processes import run
from tests.support.serving import SECRET

BLOCKED = {"pydantic.v1", "watchfiles", "yaml", "cryptography.hazmat", "rsa"}

START = """
import sys
from fastapi.testclient import TestClient
from main import app
from serving import server

with TestClient(app) as client:
    for path in ("/health/live", "/openapi.json", "/api/alice/tasks?limit=0"):
        client.get(path)
print(*(name for name, module in sys.modules.items() if module))
"""

TRIM = """
import hashlib
import ssl
from pathlib import Path

import psycopg2
import pydantic

from memory import trim_memory

def read_only():
    "Return how many bytes of the libraries' read-only data are in memory."
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            counts = words[1] == "r--p" and words[-1].startswith("/")
        elif words[0] == "Rss:" and counts:
            total += int(words[1]) * 1024
    return total

before = read_only()
trim_memory()
print(before, read_only())
# This code and its relocated data are read again.
assert len(hashlib.sha256(b"").hexdigest()) == 64
assert ssl.create_default_context() and psycopg2.extensions.make_dsn(host="a")
assert pydantic.TypeAdapter(int).validate_json(b"7") == 7
"""


def output(code: str, **settings: object) -> str:
    done = run("-c", code, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_blocked_modules_are_not_imported_later() -> None:
    settings = {
        "environment": "production",
        "database_url": "postgresql://nobody@127.0.0.1:9/none",
        "better_auth_secret": SECRET,
    }
    assert not BLOCKED & {*output(START, **settings).split()}


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no /proc")
def test_the_read_only_data_of_libraries_is_released() -> None:
    before, after = map(int, output(TRIM).split())
    assert after < before / 2
