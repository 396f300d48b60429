"""Real client programs that offer an upgrade, expect 100, or send trailers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.http1.cases import AFTER_IT
from tests.http1.programs import JAVA, JAVA_BODY, JAVA_HEAD, NODE
from tests.http1.responses import parse
from tests.http1.wire import Address, bytewise, exchange
from tests.support.services import sql
from tests.support.serving import bearer

TOKEN = bearer("alice")["Authorization"]
CREATED = ["Milk 0", "Milk 1", "Milk 2"]


def url(address: Address) -> str:
    return f"http://{address.host}:{address.port}/api/alice/tasks"


def run(*command: str) -> list[str]:
    """Return the lines that a program prints."""
    process = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def need(program: str) -> None:
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{program} is missing")


@pytest.fixture(autouse=True)
def no_tasks(database_url: URL) -> None:
    sql(database_url, "DELETE FROM tasks WHERE user_id = 'alice'")


def titles(lines: list[str]) -> list[str]:
    return [json.loads(line)["title"] for line in lines]


def stored(database_url: URL) -> list[str]:
    rows = sql(database_url, "SELECT title FROM tasks WHERE user_id = 'alice' ORDER BY id")
    return [title for (title,) in rows]


@pytest.mark.parametrize("body", ["Milk", "M" * 200])
def test_curl_can_offer_http_2(address: Address, database_url: URL, body: str) -> None:
    need("curl")
    headers = ("-H", f"Authorization: {TOKEN}", "-H", "Content-Type: application/json")
    written = ("-o", os.devnull, "-w", "%{http_code} %{http_version} %{num_connects}\\n")
    one = ["-sS", "-m", "10", "--http2", *headers, *written, "-d", json.dumps({"title": body})]
    lines = run("curl", *one, url(address), "--next", *one, url(address))
    assert lines == ["201 1.1 1", "201 1.1 0"]
    assert stored(database_url) == [body, body]


def test_node_can_send_chunks_and_trailers(address: Address, database_url: URL) -> None:
    need("node")
    assert titles(run("node", "-e", NODE, url(address), TOKEN)) == CREATED
    assert stored(database_url) == CREATED


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK, which CI does not install")
def test_java_can_offer_http_2(address: Address, database_url: URL, tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    bodies = [json.dumps({"title": title}) for title in CREATED]
    assert titles(run("java", str(source), url(address), TOKEN, *bodies)) == CREATED
    assert stored(database_url) == CREATED


def test_javas_request_is_served_in_any_segments(address: Address, database_url: URL) -> None:
    head = JAVA_HEAD.replace("\n", "\r\n").format(token=TOKEN).encode()
    forms = [
        [head + JAVA_BODY],
        [head, JAVA_BODY],
        [head[:-1], head[-1:] + JAVA_BODY],
        [head + JAVA_BODY[:1], JAVA_BODY[1:]],
        bytewise(head + JAVA_BODY),
    ]
    for received in exchange(address, [[*segments, AFTER_IT] for segments in forms]):
        assert [response.status for response in parse(received.data)] == [201, 200]
    assert stored(database_url) == ["Milk"] * len(forms)
