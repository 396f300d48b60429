"""The address on which the service listens, and the lines that it logs about its mode."""

import logging
import socket

import pytest

from serving.greeting import log_mode
from serving.server import _listen
from tests.support.settings import PRODUCTION, read


def reaches(listener: socket.socket, host: str) -> bool:
    try:
        socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("shared", ["false", "true"])
@pytest.mark.parametrize(
    ("host", "ipv4", "ipv6"),
    [("::", True, True), ("::1", False, True), ("0.0.0.0", True, False), ("", True, False)],
)
def test_the_host_two_colons_serves_ipv4_too(
    environment: pytest.MonkeyPatch, host: str, ipv4: bool, ipv6: bool, shared: str
) -> None:
    with _listen(read(environment, HOST=host, PORT="0", REUSE_PORT=shared)) as listener:
        listener.listen()
        assert (reaches(listener, "127.0.0.1"), reaches(listener, "::1")) == (ipv4, ipv6)


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({}, False),
        ({"HOST": "localhost"}, False),
        ({"HOST": "127.0.0.2"}, False),
        ({"HOST": "::1"}, False),
        ({"HOST": "0.0.0.0"}, True),
        ({"HOST": "::"}, True),
        ({"HOST": "192.0.2.1"}, True),
        ({"HOST": "my-laptop"}, True),
        ({**PRODUCTION, "HOST": "0.0.0.0"}, False),
    ],
)
def test_startup_logs_the_mode_and_warns_if_development_is_public(
    environment: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, str],
    warned: bool,
) -> None:
    caplog.set_level(logging.INFO)
    log_mode(read(environment, **settings))
    # The garbage collector may log an error of an earlier test meanwhile, as asyncio.
    records = [record for record in caplog.records if record.name == "tasks"]
    first, *rest = [(record.levelname, record.message) for record in records]
    mode = settings.get("ENVIRONMENT", "development")
    assert first == ("INFO", f"Starting in {mode} mode (ENVIRONMENT)")
    assert [level for level, _ in rest] == ["WARNING"] * warned
    assert all(settings["HOST"] in message for _, message in rest)
