"""Start the service in each set-up, and write a table of what it says to docs/setups.md.

Folders of other releases may be given; each becomes a column of its own, before this release's.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sqlalchemy.engine import URL

from config import ROOT
from tests.setups.table import PASSWORD, SETUPS, Setup, prepare
from tests.support.postgres_servers import give, postgres_versions, temporary_postgres
from tests.support.processes import free_port
from tests.support.services import database_of_its_own, sql
from tests.support.serving import SECRET, bearer

REPORT = ROOT / "docs/setups.md"
HEAD = """# Set-ups that go wrong

What the service says in each, written by `scripts/setups`. Some stop the start with a sentence. The
others have their warnings and errors, and then the responses of `/health` and of a list of tasks.
Ports and folders are left out.
"""
HBA = "local all postgres trust\nhost all app 127.0.0.1/32 scram-sha-256\n"
START = 15  # seconds until the service must listen
SETTLE = 1.5  # seconds for what it finds out afterwards


@contextmanager
def server() -> Iterator[tuple[URL, int]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        give(folder / "hba", HBA)
        port = free_port()
        newest = max(postgres_versions().items(), key=lambda each: int(each[0]))[1]
        options = ("listen_addresses=127.0.0.1", f"port={port}", f"hba_file={folder / 'hba'}")
        with temporary_postgres(newest, folder, *(w for o in options for w in ("-c", o))) as url:
            superuser = url.set(port=port)
            yield superuser, port


def said(setup: Setup, release: Path, superuser: URL, port: int) -> str:
    """Return what a release says in a set-up, as a cell of the table."""
    sql(superuser, f"DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    with database_of_its_own(superuser, tables=False) as database:
        prepare(setup, database)
        place, name = f"127.0.0.1:{port}", str(database.database)
        url = f"postgresql://app:{PASSWORD}@{place}/{name}"
        listen = free_port()
        settings = {
            "ENVIRONMENT": "production",
            "DATABASE_URL": "{url}",
            "BETTER_AUTH_SECRET": SECRET,
            "PORT": str(listen),
            "HOST": "127.0.0.1",
            "LOG_LEVEL": "warning",
            **setup.settings,
        }
        values = {
            key: value.replace("{url}", url).replace("{place}", place).replace("{name}", name)
            for key, value in settings.items()
        }
        text = _run(release, values, listen)
        sql(database, "DROP OWNED BY app")
    shown = {place: "HOST", name: "tasks", str(listen): "PORT", str(release): "…"}
    for private, public in shown.items():
        text = text.replace(private, public)
    assert PASSWORD not in text, text
    return text


def _run(release: Path, settings: dict[str, str], port: int) -> str:
    basics = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            [sys.executable, "main.py"], cwd=release, env=basics | settings,
            stdout=output, stderr=subprocess.STDOUT, text=True,
        ) as process,
    ):  # fmt: skip
        responses = _responses(process, port)
        process.terminate()
        process.wait(15)
        output.seek(0)
        lines = [_message(line) for line in output.read().splitlines() if line]
    return "<br>".join([*dict.fromkeys(lines[:4]), *responses])


def _responses(process: "subprocess.Popen[str]", port: int) -> list[str]:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            _get(port, "/health/live")
            time.sleep(SETTLE)
            status, body = _get(port, "/health")
            tasks = _get(port, "/api/alice/tasks", bearer("alice"))
            code = tasks[1].get("code", "")
            return [f"`/health`: {status} {body['database']}", f"list: {tasks[0]} {code}".strip()]
        time.sleep(0.1)
    return [f"exit code {process.wait(15)}" if process.poll() is not None else "no response"]


def _get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers or {})) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def _message(line: str) -> str:
    """Return the message of a line of the log, without what differs from run to run."""
    match = re.fullmatch(r"\[[^]]*\] \[(\w+)\] \[[^]]*\] \[[^]]*\] \[(.*)\]", line)
    text = f"{match[1]} {match[2]}" if match else line
    text = re.sub(r" (request_id|client)=\S+| in \d+\.\d ms.*", "", text)
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--only", default="", help="set-ups whose title matches this expression")
    options = parser.parse_args()
    releases = {each.name: each.resolve() for each in options.releases}
    releases["this release"] = ROOT
    rows = [f"| set-up | {' | '.join(releases)} |", "| --- " * (len(releases) + 1) + "|"]
    with server() as (superuser, port):
        for setup in (each for each in SETUPS if re.search(options.only, each.title)):
            cells = [said(setup, release, superuser, port) for release in releases.values()]
            rows.append(f"| {setup.title} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)  # noqa: T201
    REPORT.write_text(HEAD + "\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
