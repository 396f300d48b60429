"""Fail if an upgrade moves a name that docs/decisions/upgrading.md lists, and say what to read."""

import importlib
import importlib.metadata
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import fastapi
import pytest
import uvicorn
from fastapi.routing import APIRoute
from jose import jws
from jose.backends.base import Key
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from config import ROOT
from serving.protocol import Protocol
from tests.support.foreign_names import WATCHED, Uses, foreign_names
from tests.support.services import forge

PAGE = "docs/decisions/upgrading.md"
# Modules and classes whose public names are all documented.
DOCUMENTED = {
    *("fastapi", "fastapi.FastAPI", "fastapi.Request", "fastapi.openapi.docs", "fastapi.responses"),
    *("httptools", "jose", "psycopg2", "psycopg2.errors", "psycopg2.extensions", "psycopg2.extras"),
    *("psycopg2.extensions.connection", "psycopg2.extensions.cursor", "sqlalchemy"),
    *(
        "sqlalchemy.CheckConstraint",
        "sqlalchemy.dialects",
        "sqlalchemy.engine",
        "sqlalchemy.engine.URL",
        "sqlalchemy.engine.Dialect",
        "sqlalchemy.engine.ExceptionContext",
        "sqlalchemy.exc",
    ),
    *("sqlalchemy.ext.asyncio", "sqlalchemy.ext.asyncio.session.AsyncSession", "sqlalchemy.pool"),
    *(
        "sqlalchemy.sql",
        "sqlalchemy.types",
        "starlette.datastructures",
        "starlette.exceptions",
        "starlette.requests",
    ),
    *("starlette.requests.Request", "starlette.responses", "starlette.types"),
    *("starlette.types.Message", "starlette.types.Scope", "uvicorn"),
    *("fastapi.APIRouter", "fastapi.encoders", "fastapi.exception_handlers", "fastapi.exceptions"),
    *("starlette.concurrency", "starlette.convertors", "starlette.exceptions.HTTPException"),
}
DOCUMENTED_NAMES = {
    *(f"fastapi.applications.FastAPI.{name}" for name in ("include_router", "mount", "openapi")),
    *("fastapi.applications.FastAPI.routes", "fastapi.routing.APIRoute.get_route_handler"),
    *("starlette.routing.Router", "starlette.routing.WebSocketRoute"),
    "fastapi.routing.APIRoute",
    "fastapi.telemetry.TelemetryConfig",
    # Of every sqlalchemy.engine.ExecutionContext.
    "sqlalchemy.dialects.postgresql.psycopg2.PGExecutionContext_psycopg2.root_connection",
    "starlette.middleware.cors.CORSMiddleware",
    "starlette.datastructures.QueryParams.getlist",
    "starlette.routing.Mount",
    "?._asdict",  # of a named tuple
    "?._exit",  # of the module os
}


async def _application(scope: Any, receive: Any, send: Any) -> None: ...


# Factories for the classes whose attributes exist only on instances.
MAKERS: dict[str, Callable[[], object]] = {
    "fastapi.applications.FastAPI": fastapi.FastAPI,
    "fastapi.routing.APIRouter": fastapi.APIRouter,
    "starlette.requests.Request": lambda: Request({"type": "http"}),
    "fastapi.routing.APIRoute": lambda: APIRoute("/", lambda: None),
    "starlette.middleware.cors.CORSMiddleware": lambda: CORSMiddleware(_application),
    "uvicorn.config.Config": lambda: _loaded(uvicorn.Config(_application, log_config=None)),
    "uvicorn.server.Server": lambda: _stopped(
        uvicorn.Config(_application, log_config=None, lifespan="off")
    ),
    "uvicorn.server.ServerState": ServerState,
}


def _loaded(config: uvicorn.Config) -> uvicorn.Config:
    config.load()
    return config


def _stopped(config: uvicorn.Config) -> uvicorn.Server:
    """Return a server that has run, because some of its attributes exist only then."""
    server = uvicorn.Server(config)
    server.should_exit = True
    server.run(sockets=[])
    return server


def _rows() -> list[str]:
    """Return the names in the page's tables."""
    return re.findall(r"^\| `([\w.*]+)` \|", (ROOT / PAGE).read_text(), re.MULTILINE)


ROWS = _rows()


@pytest.fixture(scope="module")
def found() -> Uses:
    return foreign_names()


def _covers(row: str, name: str) -> bool:
    """Return whether `row` covers `name`. Of a private attribute only the last part is known."""
    if name.startswith("?."):
        return row.rpartition(".")[2] == name[2:]
    return name == row or (row.endswith(".*") and name.startswith(row[:-1]))


@pytest.mark.parametrize("row", ROWS)
def test_a_listed_name_exists_and_is_used(row: str, found: Uses) -> None:
    lines = [line for name, each in found.items() if _covers(row, name) for line in each]

    assert lines, f"{row} is no longer used: remove its row from {PAGE}"
    try:
        _resolve(row.removesuffix(".*"))
    except (ImportError, AttributeError) as error:
        package = row.partition(".")[0]
        [distribution] = importlib.metadata.packages_distributions()[package]
        version = importlib.metadata.version(distribution)
        pytest.fail(
            f"{distribution} {version} has no {row} ({error}). It is used in {', '.join(lines)}. "
            f"Read the section on {distribution} in {PAGE}."
        )


def _resolve(name: str) -> object:
    """Import the object with this name, or get it from an instance that MAKERS makes."""
    owner, _, attribute = name.rpartition(".")
    if owner in MAKERS:
        return getattr(MAKERS[owner](), attribute)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if not owner:
            raise
        return getattr(_resolve(owner), attribute)


def _is_documented(name: str) -> bool:
    owner, _, attribute = name.rpartition(".")
    return name in DOCUMENTED | DOCUMENTED_NAMES or (
        owner in DOCUMENTED and not attribute.startswith("_")
    )


def test_every_name_in_use_is_documented_or_listed(found: Uses) -> None:
    unknown = {
        name: lines
        for name, lines in found.items()
        if not _is_documented(name) and not any(_covers(row, name) for row in ROWS)
    }

    assert not unknown, f"list these in {PAGE}, or in DOCUMENTED if they are documented"


def test_packages_with_a_listed_name_have_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounded = {
        re.split(r"[\[<>=]", requirement)[0]
        for requirement in project["dependencies"]
        if "<" in requirement
    }

    for package in WATCHED:
        [distribution] = set(importlib.metadata.packages_distributions()[package])
        assert distribution.lower() in bounded, f"{distribution}: see {PAGE}"


def test_our_protocol_has_the_same_parameters_as_uvicorns() -> None:
    def parameters(kind: Any) -> Iterator[tuple[str, bool]]:
        for name, parameter in inspect.signature(kind).parameters.items():
            yield name, parameter.default is parameter.empty

    assert dict(parameters(Protocol)) == dict(parameters(HttpToolsProtocol))


def test_python_jose_accepts_key_objects() -> None:
    class Accepting(Key):
        def verify(self, msg: bytes, sig: bytes) -> bool:
            return True

    class Refusing(Key):
        def verify(self, msg: bytes, sig: bytes) -> bool:
            raise ValueError

    token = forge({"sub": "alice"})
    keys = [Refusing(None, "HS256"), Accepting(None, "HS256")]

    assert jws.verify(token, {"keys": keys}, ["HS256"]) == b'{"sub": "alice"}'
