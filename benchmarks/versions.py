"""The versions of the contenders' packages, from lock files and from Debian."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from functools import partial

from contenders import PEERS

ON_ASYNCPG = ("asyncpg", "pyjwt", "uvicorn")


def _npm(peer: str, *names: str) -> str:
    """Return the versions of packages in npm's lock file."""
    packages = json.loads((PEERS / peer / "package-lock.json").read_text())["packages"]
    return ", ".join(f"{name} {packages[f'node_modules/{name}']['version']}" for name in names)


def _uv(peer: str, *names: str) -> str:
    """Return the versions of packages in uv's lock file."""
    packages = tomllib.loads((PEERS / peer / "uv.lock").read_text())["package"]
    found = {package["name"]: package["version"] for package in packages}
    return ", ".join(f"{name} {found[name]}" for name in names)


def _debian(*names: str) -> str:
    """Return the versions of Debian packages."""
    form = "--showformat=${Package} ${Version}\\n"
    done = subprocess.check_output(["dpkg-query", "--show", form, *names], text=True)
    return ", ".join(done.splitlines())


def fastify() -> str:
    """Return the versions of the peer on Node."""
    return _npm("fastify", "fastify", "pg", "@fastify/jwt")


def of_peers(names: list[str]) -> dict[str, str]:
    """Return the versions of the other peers that run, by title."""
    found: dict[str, tuple[str, Callable[[], str]]] = {
        "bun": ("Bun", partial(_npm, "bun", "bun", "elysia", "@elysiajs/jwt")),
        "litestar": ("Litestar", partial(_uv, "litestar", "litestar", *ON_ASYNCPG)),
        "fastapi-asyncpg": (
            "FastAPI + asyncpg",
            partial(_uv, "fastapi-asyncpg", "fastapi", "pydantic", *ON_ASYNCPG),
        ),
        "go": ("Go", partial(_debian, "golang-go", "golang-github-jackc-pgx-v4-dev")),
    }
    return {title: read() for name, (title, read) in found.items() if name in names}
