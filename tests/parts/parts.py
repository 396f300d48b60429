"""The parts that users of the service run, and none of which was written here."""

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
    """One of them. `version` is None where it is missing; `remedy` then tells how to get it."""

    name: str
    version: Callable[[], str | None]
    remedy: str
    exercised: str


def _program(name: str | Path) -> Callable[[], str | None]:
    def version() -> str | None:
        if not (path := shutil.which(name)):
            return None
        # wrk takes the question for a mistake, and answers it all the same.
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
        "the one in psycopg2-binary's wheel: all of the above",
    ),
    Part(
        "Chromium",
        _program("chromium"),
        "apt-get install chromium",
        "`/docs`, `/redoc`; pages of an allowed and of another origin that call every operation",
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
        "runs what follows",
    ),
    Part(
        "Better Auth",
        _package("better-auth", BETTER_AUTH),
        "npm ci --prefix tests/better_auth",
        "sign-ups, and tokens under its key set (five algorithms) and under the shared secret",
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
        "a frontend as [the page](better-auth.md#step-by-step) builds it, used in Chromium",
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
        "React and Vite: two users, and faults, in Chromium",
    ),
    Part(
        "axe-core",
        _package("axe-core", EXAMPLES / "frontend"),
        "npm ci --prefix examples/frontend",
        "each state of that frontend, for people with disabilities",
    ),
    Part(
        "openapi-typescript",
        _package("openapi-typescript"),
        NPM_CI,
        "types made from `/openapi.json`, which are those of `tasks.ts`",
    ),
    Part(
        "TypeScript",
        _package("typescript"),
        NPM_CI,
        "`tsc --strict` on them, and on mistakes that it must find",
    ),
    Part(
        "hey-api",
        _package("@hey-api/openapi-ts"),
        NPM_CI,
        "a client by its default settings and a Zod schema, compiled; every operation",
    ),
    Part(
        "orval",
        _package("orval"),
        NPM_CI,
        "the same: functions with `fetch`, and a Zod schema",
    ),
    Part(
        "Zod",
        _package("zod"),
        NPM_CI,
        "checks what was returned by both schemas",
    ),
    Part(
        "openapi-python-client",
        _distribution("openapi-python-client"),
        "uv sync --group parts",
        "a client by its default settings, checked by mypy; every operation",
    ),
    Part(
        "Redocly CLI",
        _package("@redocly/cli"),
        NPM_CI,
        "`/openapi.json` by its recommended rules",
    ),
    Part(
        "openapi-to-postmanv2",
        _package("openapi-to-postmanv2"),
        NPM_CI,
        "a Postman collection made from `/openapi.json`",
    ),
    Part(
        "newman",
        _package("newman"),
        NPM_CI,
        "that collection, each request with its status",
    ),
    Part("uv", _program("uv"), "https://docs.astral.sh/uv/", "every command of the documentation"),
    Part("curl", _program("curl"), "apt-get install curl", "the README's six calls"),
    Part("wrk", _program("wrk"), "apt-get install wrk", "the commands that measure"),
    Part(
        "debootstrap",
        lambda: _program("debootstrap")() if os.geteuid() == 0 else None,
        "apt-get install debootstrap, as root",
        "the next Debian, with its Python and PostgreSQL",
    ),
]
BY_NAME = {part.name: part for part in PARTS}
used: set[str] = set()


def need(*names: str) -> None:
    """Skips the test if a part is missing, and says how to get it. In CI that is a failure."""
    for name in names:
        part = BY_NAME[name]
        if part.version() is None:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(f"{name} is missing: {part.remedy}")
        used.add(name)


def table() -> str:
    """What was used, as Markdown."""
    rows = [
        f"| {part.name} | {part.version()} | {part.exercised} |"
        for part in PARTS
        if part.name in used
    ]
    return "\n".join(["| part | version | what was exercised |", "| --- | --- | --- |", *rows])
