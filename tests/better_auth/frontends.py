"""A frontend with a stock Better Auth on Node, built from the files in docs/better-auth.md."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.engine import URL

from config import ROOT
from tests.frontends.pages import FOLDER
from tests.parts.parts import need
from tests.support.processes import PATIENCE, free_port
from tests.support.services import NO_TLS
from tests.support.serving import SECRET

HERE = Path(__file__).parent
SHOWN = {"key_set": "auth.ts", "shared_secret": "shared-secret/auth.ts"}
# Programs that serve Better Auth on port 3001.
SERVERS = {
    "documented": FOLDER / "vite/server.ts",
    "example": ROOT / "examples/auth/server.ts",
}
HARNESS = ("frontend.ts", "package.json", "tsconfig.json")


class User:
    """A user who signed up with e-mail and password, with the session's cookies."""

    def __init__(self, client: httpx.Client, response: dict[str, Any]) -> None:
        self.client = client
        self.id: str = response["user"]["id"]
        self.session_token: str = response["token"]

    def token(self) -> str:
        """Return a JWT, requested in the way that the frontend requests it."""
        response = self.client.get("/api/auth/token")
        assert response.status_code == 200, response.text
        token: str = response.json()["token"]
        return token


class Frontend:
    """A frontend running at `url`."""

    def __init__(self, url: str, folder: Path, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.url = url
        self.folder = folder
        self._process = process
        self._said = process.stdout
        self._complaints = process.stderr

    @contextmanager
    def user(self, name: str) -> Iterator[User]:
        """Sign `name` up."""
        fields = {"email": f"{name}@example.com", "password": "correct horse", "name": name}
        headers = {"Origin": self.url}
        with httpx.Client(base_url=self.url, headers=headers, verify=NO_TLS) as client:
            response = client.post("/api/auth/sign-up/email", json=fields)
            assert response.status_code == 200, response.text
            yield User(client, response.json())

    def says(self) -> str:
        """Return the next line of its output."""
        return self._said.readline().strip()

    def complaint(self) -> str:
        """Return the next line of its error output."""
        return self._complaints.readline().strip()

    def ends(self) -> int:
        """Wait until its process ends, and return the exit code."""
        return self._process.wait(PATIENCE)


@contextmanager
def frontend(
    database: URL, mode: str, folder: Path, server: str | None = None, **wanted: Any
) -> Iterator[Frontend]:
    """Run the documented files of `mode`. `wanted` overrides parts of auth.ts; see frontend.ts.

    With `server`, one of SERVERS runs instead of frontend.ts.
    """
    need("Node.js", "Better Auth")
    for source in (FOLDER / SHOWN[mode], FOLDER / "migrate.ts", *(HERE / name for name in HARNESS)):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.environ["PATH"],
        "BETTER_AUTH_URL": url,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_TELEMETRY": "0",
        "DATABASE_URL": f"postgresql://postgres@localhost/{database.database}"
        f"?host={database.query['host']}",
    }
    _node("migrate.ts", folder, environment)
    if wanted:
        environment["WANTED"] = json.dumps(wanted)
    if server:
        port = url.rpartition(":")[2]
        text = SERVERS[server].read_text()
        assert "3001" in text
        (folder / "server.ts").write_text(text.replace("3001", port))
    command = ["node", "--import", "tsx", "server.ts" if server else "frontend.ts"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ours = Frontend(url, folder, process)
            assert "listen" in ours.says()
            yield ours
        finally:
            process.kill()


def _node(file: str, folder: Path, environment: dict[str, str]) -> str:
    command = ["node", "--import", "tsx", file]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
