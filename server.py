"""Serves the application until it is told to stop."""

import asyncio
import ctypes
import gc
import signal
import sys
from contextlib import suppress

from fastapi import FastAPI

from config import Settings
from development import database_url
from lean import without
from logs import logger
from migrating import migrate
from workers import Workers

with without("watchfiles", "yaml"):  # for its own reloader and configuration files
    import uvicorn

# Seconds. A proxy's own limit, 60 as a rule, must be the shorter one: otherwise it sends a request
# on a connection that is just being closed here, and answers 502.
KEEP_ALIVE = 75
LOCAL = ("127.0.0.1", "0.0.0.0")  # noqa: S104


def run(app: FastAPI) -> None:
    """Serves `app` until SIGTERM or SIGINT; requests in flight get `shutdown_timeout` seconds."""
    settings: Settings = app.state.settings
    _greet(settings)
    # A stop that was asked for is no failure. uvicorn takes these signals over while it serves, and
    # raises them again at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with database_url(settings) as app.state.database_url:
        config = _config(app, settings)
        if settings.web_concurrency == 1:
            uvicorn.Server(config).run()
            return
        if settings.environment == "development":
            app.state.migrated = asyncio.run(migrate(app.state.database_url, settings))
        workers = Workers(
            lambda listener: uvicorn.Server(config).run([listener]),
            settings.web_concurrency,
            settings.shutdown_timeout + 1,
        )
        workers.run(config.bind_socket())


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        host=settings.listen_host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        root_path=settings.root_path,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    config.load()
    _return_unused_memory()
    return config


def _return_unused_memory() -> None:
    """Gives back what importing left unused: some 4 MB."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _greet(settings: Settings) -> None:
    host = "localhost" if settings.listen_host in LOCAL else settings.listen_host
    logger.info("Documentation: http://%s:%d/docs", host, settings.port)
    if settings.environment == "development":
        logger.info("A token to try it with: uv run auth.py user_123")
