"""Serve the application until it is told to stop."""

import asyncio
import errno
import resource
import socket
import sys
from contextlib import suppress

from fastapi import FastAPI

from config import Settings
from development.database import database_url
from development.migrate import migrate_within_timeout
from memory import block_imports, trim_memory
from serving.greeting import Greeting, log_mode
from serving.stopping import STOP_SIGNALS
from serving.workers import Workers

with block_imports("watchfiles", "yaml"):  # only for uvicorn's reloader and configuration files
    import uvicorn

    from serving.graceful import Server
    from serving.protocol import Protocol

BACKLOG = 2048  # connections that may wait to be accepted
# Seconds. A proxy's own limit, usually 60, must be shorter. Otherwise the proxy may send a request
# on a connection that is being closed here, and return 502.
KEEP_ALIVE = 75


def run(app: FastAPI) -> None:
    """Serve `app` until SIGTERM, SIGINT or SIGHUP.

    Requests in flight have `shutdown_timeout` seconds to finish.
    """
    settings: Settings = app.state.settings
    _allow_many_connections()
    STOP_SIGNALS.handle()
    with _listen(settings) as listener:
        log_mode(settings)
        with database_url(settings) as app.state.database_url:
            _serve(app, settings, listener)


def _listen(settings: Settings) -> socket.socket:
    host = settings.listen_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    serves_both = host == "::"  # IPv4 too; protocol.py shows its addresses as IPv4
    try:
        if settings.reuse_port:
            return _bind(host, settings.port, family)
        return socket.create_server(
            (host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=serves_both
        )
    except OSError as error:
        sys.exit(f"Configuration error: {_why_not(host, settings.port, error)}")


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT {port} of {host} is in use. Stop the program that uses it, or set another."
    reason = (error.strerror or str(error)).partition(" (")[0]
    return f"HOST {host}, PORT {port}: {reason}."


def _bind(host: str, port: int, family: int) -> socket.socket:
    """Return a socket that shares its port and does not listen yet.

    The server listens once the application has started. Otherwise connections would wait for a
    release that is still starting, and be lost if it failed to start.
    """
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _serve(app: FastAPI, settings: Settings, listener: socket.socket) -> None:
    serving = config(app, settings)
    greeting = Greeting(settings, listener.getsockname()[1])
    if settings.web_concurrency == 1:
        with STOP_SIGNALS.held():
            Server(serving, on_start=greeting).run([listener])
        return
    if settings.environment == "development":
        app.state.migrated = asyncio.run(migrate_within_timeout(app.state.database_url, settings))
    workers = Workers(
        lambda listener, share: Server(serving, share, greeting).run([listener]),
        settings.web_concurrency,
        settings.shutdown_timeout + 2,  # for cancelling statements that still run
    )
    workers.run(listener)


def config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration for `app`, loaded so that workers can share it."""
    loaded = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol,  # type: ignore[arg-type]  # it reads into a buffer of its own
        ws="none",
        log_config=None,
        access_log=False,
        root_path=settings.root_path,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    loaded.load()
    app.state.limits_connections = True  # main.py logs a warning if this is missing
    trim_memory()
    return loaded


def _allow_many_connections() -> None:
    """Raise the limit on open files, because each connection is one and the default is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows less than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
