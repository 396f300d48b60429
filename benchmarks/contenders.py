"""The service and its peers: what each needs, and how to build, migrate and start it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
SCHEMA = PEERS / "schema.sql"
GOCODE = Path("/usr/share/gocode")  # of Debian's packages of Go libraries
CREATE_TABLES = "from conventional.database import create_db_and_tables as run; run()"
# Debian's build is optimized with profiles and at link time, as that of the image is. Other builds,
# such as pyenv's default, take more CPU time (docs/performance.md).
DEBIAN = Path(f"/usr/bin/python3.{sys.version_info.minor}")
PYTHON = str(DEBIAN) if DEBIAN.exists() else sys.executable
SYNC = ["uv", "sync", "--frozen", "--no-dev", "--compile-bytecode", "--quiet", "--python"]
UVICORN = ["--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--log-level", "warning"]


@dataclass(frozen=True)
class Contender:
    """A program that serves the API. `{port}` in `start` is replaced by the port."""

    name: str
    title: str
    start: list[str]
    folder: Path
    build: list[str] = field(default_factory=list)
    migrate: list[str] = field(default_factory=list)
    schema: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(
        default_factory=dict
    )  # a program or path, and Debian's package of it
    rounds: int | None = None  # at most, of the closed loop; None for those with a close target
    validates: bool = True  # whether it refuses invalid bodies and queries

    def missing(self) -> list[str]:
        """Return the Debian packages that it needs and that are not installed."""
        found = ((shutil.which(need) or Path(need).exists(), need) for need in self.needs)
        return [self.needs[need] for there, need in found if not there]


def all_contenders(work: Path) -> dict[str, Contender]:
    """Return every contender by name. All builds go into `work`, except `node_modules`."""
    found = [_service(work), _conventional(work), *_on_javascript(), *_on_asyncpg(work)]
    return {contender.name: contender for contender in [*found, _go(work), _floor(work)]}


def _python(work: Path, environment: str) -> tuple[str, dict[str, str]]:
    """Return the Python of a production environment, and the variable that tells uv its folder."""
    folder = work / environment
    return str(folder / "bin" / "python"), {"UV_PROJECT_ENVIRONMENT": str(folder)}


def _service(work: Path) -> Contender:
    python, where = _python(work, "python")
    migrate = [python, "-m", "alembic", "upgrade", "head"]
    # The default of 20 would allow three times the connections of the other contenders.
    where = {**where, "DB_MAX_OVERFLOW": "0"}
    return Contender(
        "service",
        "this service",
        [python, "main.py"],
        ROOT,
        [*SYNC, PYTHON],
        migrate,
        environment=where,
    )


def at_commit(commit: str, work: Path, interpreter: str = PYTHON) -> Contender:
    """Return the service as it was at `commit`, as a contender with the name `baseline`."""
    folder = work / "baseline"
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    service = _service(work)
    python, where = _python(work, "baseline-python")
    return replace(
        service,
        name="baseline",
        title=commit,
        folder=folder,
        build=[*SYNC, interpreter],
        start=[python, *service.start[1:]],
        migrate=[python, *service.migrate[1:]],
        environment={**service.environment, **where},
    )


def _conventional(work: Path) -> Contender:
    python, where = _python(work, "python")
    start = [python, "-m", "uvicorn", "conventional.main:app", *UVICORN]
    return Contender(
        "conventional", "conventional build", start, PEERS, [*SYNC, PYTHON],
        [python, "-c", CREATE_TABLES], environment=where, rounds=2,
    )  # fmt: skip


def _on_javascript() -> list[Contender]:
    install = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
    needs = {"node": "nodejs", "npm": "npm"}
    programs = {
        ("fastify", "Fastify + pg"): ["node", "server.js"],
        ("bun", "Bun + Elysia"): ["node_modules/.bin/bun", "server.ts"],
    }
    return [
        Contender(name, title, start, PEERS / name, install, schema=SCHEMA, needs=needs)
        for (name, title), start in programs.items()
    ]


def _on_asyncpg(work: Path) -> Iterator[Contender]:
    applications = {
        ("litestar", "Litestar + asyncpg"): "app:app",
        ("fastapi-asyncpg", "FastAPI + asyncpg"): "main:app",
    }
    for (name, title), application in applications.items():
        python, where = _python(work, name)
        start = [python, "-m", "uvicorn", application, *UVICORN]
        yield Contender(
            name,
            title,
            start,
            PEERS / name,
            [*SYNC, PYTHON],
            schema=SCHEMA,
            environment=where,
            rounds=3,
        )


def _go(work: Path) -> Contender:
    """Return the Go server. It uses one core, like the others, and only Debian's packages."""
    program = str(work / "go-server")
    libraries = GOCODE / "src" / "github.com"
    return Contender(
        "go", "Go + pgx", [program], PEERS / "go", ["go", "build", "-o", program, "."],
        schema=SCHEMA,
        environment={
            "GOMAXPROCS": "1",
            "GO111MODULE": "off",
            "GOPATH": str(GOCODE),
            "GOCACHE": str(work / "go-cache"),
        },
        needs={
            "go": "golang-go",
            str(libraries / "jackc/pgx/v4"): "golang-github-jackc-pgx-v4-dev",
            str(libraries / "golang-jwt/jwt"): "golang-github-golang-jwt-jwt-dev",
            str(libraries / "go-chi/chi"): "golang-github-go-chi-chi-dev",
            str(libraries / "rs/cors"): "golang-github-rs-cors-dev",
        },
    )  # fmt: skip


def _floor(work: Path) -> Contender:
    python, where = _python(work, "floor")
    start = [python, "-m", "uvicorn", "floor:app", *UVICORN]
    return Contender(
        "floor", "floor", start, PEERS / "floor", [*SYNC, PYTHON, "--group", "bench"],
        schema=SCHEMA, environment=where, rounds=3, validates=False,
    )  # fmt: skip


def environment(contender: Contender, database_url: str, secret: str) -> dict[str, str]:
    """Return the contender's environment: few variables of this process, and its own."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {
        "DATABASE_URL": database_url,
        "BETTER_AUTH_SECRET": secret,
        "ENVIRONMENT": "production",
        "NODE_ENV": "production",
        "LOG_LEVEL": "warning",
        "HOST": "127.0.0.1",
        "DB_POOL_SIZE": "10",
    }
    return basics | settings | contender.environment


def build(contender: Contender) -> None:
    """Build the contender."""
    if contender.build:
        inherited = dict(os.environ) | contender.environment
        subprocess.run(contender.build, cwd=contender.folder, env=inherited, check=True)


def migrate(contender: Contender, environment: Mapping[str, str]) -> None:
    """Create the tables in the database that the environment names."""
    if contender.migrate:
        subprocess.run(contender.migrate, cwd=contender.folder, env=environment, check=True)
