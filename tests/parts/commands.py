"""The commands in the documentation, and how a test runs each of them.

A rule covers the lines that its pattern matches, and replaces a command that would not end soon:
it stops a service after its first response, and runs a small part of a suite or benchmark.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from config import ROOT
from tests.parts.neon import Neon
from tests.parts.parts import CLIENTS
from tests.support.serving import SECRET

FENCE = re.compile(r"^```(?:sh|bash|shell|zsh|console)[^\n]*\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`((?:\w+=\S+ )*(?:uv|uvx|npm|npx|node|pip|python3?|cp|curl|apt-get) [^`]+)`")
SCRIPT = re.compile(r"`((?:\w+=\S+ )*(?:scripts|\.ci)/[\w-]+[^`/]*)`")

ONE_FILE = "tests/middleware/test_cors.py"
SERVED = """ & server=$!
curl --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null localhost:$PORT/health
kill -TERM $server
wait $server"""
API = "TASKS_API_URL=http://localhost:$PORT"
ISSUER = "MCP_ISSUER=https://app.example.com/api/auth"
METADATA = "localhost:$PORT/.well-known/oauth-protected-resource"
# The MCP server exits with 143, because SIGTERM ends it.
MCP_SERVED = SERVED.replace("localhost:$PORT/health", METADATA) + " || test $? -eq 143"

RULES = {
    # Not run here: tests/frontends runs these commands with the packages of its lock file.
    r"npm create .*|npx create-next-app.*|npx tsx .*|npm run dev": "true",
    r"echo \.env >> \.gitignore": r"\g<0>",
    r"(cp docs/frontend|mkdir -p '\.\./tasks-web)/.*": (
        r"mkdir -p ../tasks-web/src ../tasks-web/app; \g<0>"
    ),
    r"npx --yes newman (.*)": rf"{CLIENTS}/node_modules/.bin/newman \1",
    r"npm install (better-auth pg|better-auth@1\.7\.5 .*|--save-dev tsx @types/pg|jose)": "true",
    # tests/example starts and stops this command; tests/deploying runs what compose.yaml says.
    r"uv run -m examples( --help)?": "uv run -m examples --help",
    r"docker compose up --build|VITE_API_URL=\S+ npm run build": "true",
    r"echo \"BETTER_AUTH_SECRET=.*": r"\g<0>",
    r"export .*|curl .*|cp .*|uv sync .*|npx .*": r"\g<0>",
    r"npm (install|ci) .*": r"\g<0> --no-audit --no-fund",
    r"uv run auth\.py \w+": r"\g<0>",
    r"uv run -m development\.tcp_url": r"DATABASE_URL= DEV_DB_PORT=5433 \g<0>",
    r"(\w+=\S+ )*uv run (--no-dev )?alembic upgrade head": r"\g<0>",
    r"uv run alembic downgrade -1": r"uv run alembic upgrade head; \g<0>",
    r"pg_dump .*": r"uv run alembic upgrade head; \g<0>",
    r"pg_restore .*": r"\g<0>",
    r"MIGRATION_DATABASE_URL=\"\$RESTORED_DATABASE_URL\" uv run .*": r"\g<0>",
    r"uv run alembic revision .*": r"uv run alembic upgrade head; \g<0>",
    r"(\w+=\S+ )*uv run (--no-dev )?(--extra telemetry )?main\.py": rf"\g<0>{SERVED}",
    r"(\w+=\S+ )?uv run --extra mcp -m mcp_server http": (
        rf"{ISSUER} MCP_PORT=$PORT \g<0>{MCP_SERVED}"
    ),
    r"uv run --extra mcp -m mcp_server": r"TASKS_TOKEN=$(uv run auth.py alice) \g<0> </dev/null",
    r"TASKS_TOKEN=… (uv run --extra mcp -m mcp_server\.transcript)": (
        rf"uv run main.py{SERVED}".replace(
            "kill", f"{API} TASKS_TOKEN=$(uv run auth.py alice) \\1\nkill"
        )
    ),
    r"uv run pytest": rf"\g<0> -q {ONE_FILE}",
    r"scripts/check": r"\g<0>",
    r"uv audit": r"\g<0> --help",  # as scripts/audit calls it
    r"scripts/audit": r"\g<0> || test $? -eq 3",  # 3: osv.dev cannot be reached
    r"uv export .*": r"\g<0>",
    r"scripts/test": rf"\g<0> -q {ONE_FILE} --cov-fail-under=0",
    r"scripts/test-slow": r"\g<0> -q tests/serving/test_workers.py -k two_workers",
    r"uvx pre-commit install": r"git init --quiet; \g<0>",
    r"scripts/postman": r"\g<0>",
    r"scripts/architecture": r"\g<0>",
    r"scripts/test-parts": r"\g<0> -q tests/parts/test_clients.py -k redocly",
    r"scripts/test-parts tests/better_auth tests/frontends": r"\g<0> -q -k documented_files",
    r"scripts/test-faults": r"FAULTS_REPORT=$(mktemp) \g<0> -q -k concurrent_toggle",
    r"scripts/setups": r"\g<0> --only password",
    r"scripts/test-network": r"\g<0> -q -k bandwidth",
    r"scripts/test-fuzz( \d+)?": r"FUZZ_SECONDS=5 scripts/test-fuzz",
    r"scripts/test-mutations( [\w-]+)?": r"scripts/test-mutations toggle-ignores-the-owner",
    r"scripts/test-debian \w+": r"\g<0> tests/test_tasks.py tests/test_migrations.py",
    r"\.ci/run": r"bash -n \g<0>",  # .ci/run would run this test again
    r"uv run --group bench benchmarks/run\.py( .*)?": (
        r"\g<0> --quick --sections start --contenders floor --output $(mktemp -d)"
    ),
    # Exit code 3: this machine can't simulate a network.
    r"uv run --group bench benchmarks/network\.py( .*)?": (
        "uv run --group bench benchmarks/network.py --quick --sections users --networks '30 ms'"
        " --output $(mktemp -d) || test $? -eq 3"
    ),
    r"uv run --group bench benchmarks/fairness\.py( .*)?": (
        "uv run --group bench benchmarks/fairness.py --quick"
    ),
    r"uv run --group bench benchmarks/baseline\.py( .*)?": (
        "git init -q && git add . && git -c user.name=x -c user.email=x@y.z commit -qm x\n"
        "uv run --group bench benchmarks/baseline.py HEAD --quick --operations get"
    ),
    r"uv run --group bench benchmarks/search\.py( .*)?": (
        "uv run --group bench benchmarks/search.py --quick --output $(mktemp -d)"
    ),
    r"uv run --group bench benchmarks/pool_sizes\.py": r"\g<0> --quick",
    r"uv run (--with \S+ )+benchmarks/(alternatives|worker_models)\.py": r"\g<0> --quick",
    r"uv run pytest tests/\w+\.py": r"\g<0> -q",
    r"uv lock --upgrade-package NAME": "uv lock --check",
    r"uv run (--group bench )?benchmarks/(guard|partitions|prepared_statements|protocols)\.py": (
        r"\g<0> --quick"
    ),
    r"uv run benchmarks/fast_path\.py": r"\g<0>",
}


class Commands(NamedTuple):
    """The commands in one place of a document."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """The commands, without comments. A command that continues on the next line is joined."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = (re.sub(r"\s+#.*|^#.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]

    def runnable(self) -> str:
        """Return a script that ends. Raises KeyError for a command that no rule covers."""
        return "\n".join(_by_rule(line) for line in self.lines)


def _by_rule(line: str) -> str:
    for pattern, replacement in RULES.items():
        if match := re.fullmatch(pattern, line):
            return match.expand(replacement)
    raise KeyError(f"no rule in tests/parts/commands.py covers: {line}")


def documents() -> list[Path]:
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "AGENTS.md",
        ROOT / ".env.example",
        ROOT / "benchmarks/README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def documented() -> Iterator[Commands]:
    """Yield the commands in blocks and in sentences, except where all of them occurred before."""
    seen: set[str] = set()
    for path in documents():
        for commands in commands_of(str(path.relative_to(ROOT)), path.read_text()):
            if not seen.issuperset(commands.lines):
                seen.update(commands.lines)
                yield commands


def commands_of(document: str, text: str) -> Iterator[Commands]:
    for pattern in (FENCE, INLINE, SCRIPT):
        for match in pattern.finditer(text):
            yield Commands(document, text.count("\n", 0, match.start()) + 1, match[1])


def filled(script: str, neon: Neon) -> str:
    """Return `script` with real values in place of `…`."""
    values = {
        # PgBouncer offers no channel binding.
        r"(?<!_)DATABASE_URL": f"{neon.pooled}?sslmode=require",
        "MIGRATION_DATABASE_URL": f"{neon.direct}?sslmode=require&channel_binding=require",
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "https://app.example.com",
    }
    for name, value in values.items():
        script = re.sub(rf"({name})=(…|'[^']*…[^']*')", rf"\1='{value}'", script)
    assert "…" not in script, script
    return script
