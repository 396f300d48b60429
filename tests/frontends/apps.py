"""Build and run a frontend in a new folder with the steps of docs/better-auth.md."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from tests.frontends.pages import blocks, places
from tests.parts.parts import FRONTENDS, need
from tests.support.processes import free_port, until
from tests.support.serving import SECRET

# The page's commands, without `npm create` and `npx`: the lock file of this folder already
# includes the programs that those would download.
CREATE = {
    "vite": "create-vite tasks-web --template react-ts --no-interactive",
    "next": "create-next-app tasks-web --empty --ts --app --no-tailwind --no-eslint --yes"
    " --skip-install --disable-git",
}
MIGRATE = "tsx --env-file=.env migrate.ts"
SERVERS = {"vite": ["tsx --env-file=.env server.ts", "vite"], "next": ["next dev"]}
SHOWN_PORTS = {"vite": "5173", "next": "3000"}
AUTH_PORT = "3001"  # of Better Auth's own server, with Vite
QUIET = {"BETTER_AUTH_TELEMETRY": "0", "NEXT_TELEMETRY_DISABLED": "1", "CI": "true"}


class App:
    """A frontend in its own folder, on free ports."""

    def __init__(self, framework: str, folder: Path) -> None:
        self.framework = framework
        self.folder = folder
        self.port = free_port()
        self._ports = {
            **dict.fromkeys(SHOWN_PORTS.values(), str(self.port)),
            AUTH_PORT: str(free_port()),
        }

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def with_ports(self, text: str) -> str:
        """Return a text of the page with its ports replaced by the free ones."""
        return re.sub("|".join(self._ports), lambda shown: self._ports[shown[0]], text)

    def write(self, database_url: str, api_url: str) -> None:
        """Create the frontend, its files and `.env` as shown, and Better Auth's tables."""
        self.run(CREATE[self.framework], self.folder.parent)
        for name, place in places(self.framework).items():
            (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / place).write_text(self.with_ports(blocks()[name]))
        text = self.with_ports(blocks()[f"{self.framework}.env"])
        for shown, value in {
            "SECRET=…": f"SECRET={SECRET}",
            "postgresql://…": database_url,
            "http://localhost:8000": api_url,
        }.items():
            assert shown in text
            text = text.replace(shown, value)
        (self.folder / ".env").write_text(text)
        self.run(MIGRATE)

    def command(self, command: str) -> list[str]:
        program, *arguments = command.split()
        return [str(FRONTENDS / "node_modules/.bin" / program), *arguments]

    def run(self, command: str, folder: Path | None = None) -> None:
        """Run a program of the packages. It must succeed."""
        done = subprocess.run(
            self.command(command),
            cwd=folder or self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def served(self) -> Iterator[None]:
        """Run the servers, and wait until the frontend and its Better Auth respond."""
        with ExitStack() as stack:
            for command in SERVERS[self.framework]:
                if command == "next dev":  # Next.js does not read its port from `.env`
                    command += f" --port {self.port}"
                stack.enter_context(_running(self.command(command), self.folder))
            until(lambda: self._responds("/api/auth/ok") and self._responds("/"), self.framework)
            yield

    def _responds(self, path: str) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(self.url + path, timeout=60).status_code == 200
        return False


@contextmanager
def app(framework: str) -> Iterator[App]:
    """Yield a frontend in a folder below `node_modules`' parent, where Node finds the packages."""
    need("Node.js", "Vite", "Next.js")
    with tempfile.TemporaryDirectory(dir=FRONTENDS, prefix=".app-") as folder:
        yield App(framework, Path(folder) / "tasks-web")


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **QUIET}
