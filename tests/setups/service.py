"""A service in a set-up: what it writes to its log, and how it responds."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.serving import SECRET
from tokens.verifier import make_token

START = 15  # seconds until the service must listen
SETTLE = 1.5  # seconds for what it finds out afterwards


class Client:
    """Alice's client at the service's URL. `claims` are times in her token, in seconds from now."""

    def __init__(self, url: str, claims: Mapping[str, int]) -> None:
        self._url = url
        self._claims = claims

    def send(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, str]]:
        times = {name: int(time.time()) + offset for name, offset in self._claims.items()}
        headers = {
            "Authorization": f"Bearer {make_token('alice', SECRET, **times)}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, headers, method=method)
        try:
            with urlopen(request) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)

    def responses(self) -> Iterator[str]:
        """Yield the responses of /health and, until one fails, of reading and writing tasks."""
        status, body = self.send("GET", "/health")
        yield f"`/health`: {status} {body['database']}"
        tasks = "/api/alice/tasks"
        for name, method, path, content in (
            ("list", "GET", tasks, None),
            ("create", "POST", tasks, {"title": "Buy milk"}),
            ("complete", "PATCH", f"{tasks}/1/complete", None),
        ):
            status, body = self.send(method, path, content)
            failed = status >= 400
            yield f"{name}: {status} {body['code']}" if failed else f"{name}: {status}"
            if failed:
                return


def run(
    release: Path, prefix: tuple[str, ...], settings: dict[str, str], client: Client
) -> list[str]:
    """Return the first lines that the service logs, and how it responds."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            [*prefix, sys.executable, "main.py"], cwd=release, env=basics | settings,
            stdout=output, stderr=subprocess.STDOUT, text=True,
        ) as process,
    ):  # fmt: skip
        responses = _responses(process, client)
        process.terminate()
        process.wait(15)
        output.seek(0)
        lines = [_message(line) for line in output.read().splitlines() if line]
    return [*dict.fromkeys(lines[:4]), *responses]


def _responses(process: "subprocess.Popen[str]", client: Client) -> list[str]:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            client.send("GET", "/health/live")
            time.sleep(SETTLE)
            return list(client.responses())
        time.sleep(0.1)
    return [f"exit code {process.wait(15)}" if process.poll() is not None else "no response"]


def _message(line: str) -> str:
    """Return the message of a line of the log, without what differs from run to run."""
    match = re.fullmatch(r"\[[^]]*\] \[(\w+)\] \[[^]]*\] \[[^]]*\] \[(.*)\]", line)
    text = f"{match[1]} {match[2]}" if match else line
    text = re.sub(r" (request_id|client)=\S+| in \d+\.\d ms.*", "", text)
    return text.replace("|", "\\|").replace("<", "&lt;")
