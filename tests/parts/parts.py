"""The software that users of the service run, and the tests run with it."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest

from config import ROOT

CLIENTS = ROOT / "tests/clients"
BETTER_AUTH = ROOT / "tests/better_auth"
FRONTENDS = ROOT / "tests/frontends"
ASSISTANTS = ROOT / "tests/mcp_server"
EXAMPLES = ROOT / "examples"
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql/bin"))


class Part(NamedTuple):
    """A piece of software. `version` returns None without it; `remedy` says how to install it."""

    name: str
    version: Callable[[], str | None]
    remedy: str
    exercised: str


def _program(name: str | Path) -> Callable[[], str | None]:
    def version() -> str | None:
        if not (path := shutil.which(name)):
            return None
        # wrk exits with an error, but prints its version.
        answer = subprocess.run([path, "--version"], capture_output=True, text=True)
        found = re.search(r"\d+(\.\d+)+", answer.stdout)
        return found and found[0]

    return version


def _distribution(name: str) -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return version


def _package(name: str, folder: Path = CLIENTS) -> Callable[[], str | None]:
    def version() -> str | None:
        manifest = folder / "node_modules" / name / "package.json"
        return json.loads(manifest.read_text())["version"] if manifest.exists() else None

    return version


NPM_CI = "npm ci --prefix tests/clients"
PARTS = [
    Part(
        "PostgreSQL",
        _program(POSTGRES / "postgres"),
        "apt-get install postgresql",
        "TLS (`require`, `verify-full`), SCRAM-SHA-256, `channel_binding=require`; migrations",
    ),
    Part(
        "PgBouncer",
        _program("pgbouncer"),
        "apt-get install pgbouncer",
        "transaction mode with TLS and SCRAM on both sides; every operation, 300 at once",
    ),
    Part(
        "libpq",
        lambda: ".".join(map(str, divmod(psycopg2.extensions.libpq_version(), 10_000))),
        "uv sync",
        "the one in psycopg2-binary's wheel, for all of the above",
    ),
    Part(
        "Chromium",
        _program("chromium"),
        "apt-get install chromium",
        "`/docs`, `/redoc`; pages of an allowed and of another origin, which call every operation",
    ),
    Part(
        "Playwright",
        _distribution("playwright"),
        "uv sync --group parts",
        "drives Chromium",
    ),
    Part(
        "Node.js",
        _program("node"),
        "https://nodejs.org, version 20.19 or later",
        "runs the tools below",
    ),
    Part(
        "Better Auth",
        _package("better-auth", BETTER_AUTH),
        "npm ci --prefix tests/better_auth",
        "sign-ups, and tokens signed with its keys (five algorithms) and with the shared secret",
    ),
    Part(
        "Better Auth MCP plugin",
        _package("@better-auth/mcp", ASSISTANTS),
        "npm ci --prefix tests/mcp_server",
        "[an assistant](assistants.md#signing-in-with-better-auth) signs a user in",
    ),
    Part(
        "MCP inspector",
        _package("@modelcontextprotocol/inspector", ASSISTANTS),
        "npm ci --prefix tests/mcp_server, and Node.js 22.19 or later",
        "its command line calls tools over both transports, and checks their schemas",
    ),
    Part(
        "Vite",
        _package("vite", FRONTENDS),
        "npm ci --prefix tests/frontends",
        "a frontend built [step by step](better-auth.md#step-by-step), used in Chromium",
    ),
    Part(
        "Next.js",
        _package("next", FRONTENDS),
        "npm ci --prefix tests/frontends",
        "the same frontend",
    ),
    Part(
        "the example's auth server",
        _package("better-auth", EXAMPLES / "auth"),
        "npm ci --prefix examples/auth",
        "Better Auth, for the example's frontend",
    ),
    Part(
        "the example's frontend",
        _package("vite", EXAMPLES / "frontend"),
        "npm ci --prefix examples/frontend",
        "React and Vite: two users, and failures of the service, in Chromium",
    ),
    Part(
        "axe-core",
        _package("axe-core", EXAMPLES / "frontend"),
        "npm ci --prefix examples/frontend",
        "accessibility of each state of the example's frontend",
    ),
    Part(
        "openapi-typescript",
        _package("openapi-typescript"),
        NPM_CI,
        "types generated from `/openapi.json`, compared with those in `tasks.ts`",
    ),
    Part(
        "TypeScript",
        _package("typescript"),
        NPM_CI,
        "`tsc --strict` on these types, and on mistakes that it must find",
    ),
    Part(
        "hey-api",
        _package("@hey-api/openapi-ts"),
        NPM_CI,
        "a client with default settings and a Zod schema, compiled; every operation",
    ),
    Part(
        "orval",
        _package("orval"),
        NPM_CI,
        "functions with `fetch`, and a Zod schema; every operation",
    ),
    Part(
        "Zod",
        _package("zod"),
        NPM_CI,
        "checks responses against both schemas",
    ),
    Part(
        "openapi-python-client",
        _distribution("openapi-python-client"),
        "uv sync --group parts",
        "a client with default settings, checked by mypy; every operation",
    ),
    Part(
        "Redocly CLI",
        _package("@redocly/cli"),
        NPM_CI,
        "its recommended rules for `/openapi.json`",
    ),
    Part(
        "openapi-to-postmanv2",
        _package("openapi-to-postmanv2"),
        NPM_CI,
        "a Postman collection generated from `/openapi.json`",
    ),
    Part(
        "newman",
        _package("newman"),
        NPM_CI,
        "the collection; each request must return its status",
    ),
    Part("uv", _program("uv"), "https://docs.astral.sh/uv/", "every command in the documentation"),
    Part("curl", _program("curl"), "apt-get install curl", "the README's six calls"),
    Part("wrk", _program("wrk"), "apt-get install wrk", "the benchmarks"),
    Part(
        "debootstrap",
        lambda: _program("debootstrap")() if os.geteuid() == 0 else None,
        "apt-get install debootstrap, as root",
        "the next Debian release, with its Python and PostgreSQL",
    ),
]
BY_NAME = {part.name: part for part in PARTS}
used: set[str] = set()


def need(*names: str) -> None:
    """Skip the test if a part is missing, and say how to install it. In CI, fail."""
    for name in names:
        part = BY_NAME[name]
        if part.version() is None:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(f"{name} is missing: {part.remedy}")
        used.add(name)


def table() -> str:
    """Return the parts that were used, as a Markdown table."""
    rows = [
        f"| {part.name} | {part.version()} | {part.exercised} |"
        for part in PARTS
        if part.name in used
    ]
    return "\n".join(["| part | version | what was exercised |", "| --- | --- | --- |", *rows])
