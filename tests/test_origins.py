"""The values that ALLOWED_ORIGINS accepts, and the page origins that each allows."""

import logging
import random
import re

import pytest
from starlette.types import Receive, Scope, Send

from config import Settings
from main import create_app
from middleware.cors import CORSMiddleware
from observability.logs import logger
from origins import is_open_to_strangers, is_origin, is_pattern, pattern_of_origins

PATTERN = "https://app-*-team.example.app"


async def nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


def settings_for(allowed: str, environment: str = "production") -> Settings:
    return Settings(
        _env_file=None,
        environment=environment,
        database_url="postgresql://db.example/tasks",
        better_auth_url="https://app.example.com",
        allowed_origins=allowed,
    )


def allows(allowed: str, origin: str, environment: str = "production") -> bool:
    """Return whether the service allows `origin` if ALLOWED_ORIGINS is `allowed`."""
    settings = settings_for(allowed, environment)
    middleware = CORSMiddleware(nothing, settings.allowed_origins, settings.origin_pattern)
    return middleware.is_allowed_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://192.168.1.5:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "http://tauri.localhost",
        "app://-",
        "app://My.App",
        "app://localhost:8080",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0f3b1c9a-5a4e-4c53-9d9c-6f7a8b9c0d1e",
    ],
)
def test_the_origin_of_any_page_may_be_allowed(origin: str) -> None:
    assert allows(f"https://other.example, {origin}", origin)
    assert not allows("https://other.example", origin)
    for other in (f"{origin}/", f"{origin}.evil.com", f"{origin}:81", f" {origin}", f"{origin}\n"):
        assert not allows(origin, other)


@pytest.mark.parametrize(
    "text",
    [
        "https://app-*-team.example.app",
        "https://app-*.example.app",
        "https://*-app.example.app",
        "https://deploy-preview-*--tasks.netlify.app",
        "http://app-*.example.app:8080",
        "https://app*.a.b.example.app",
    ],
)
def test_the_first_label_may_contain_a_wildcard(text: str) -> None:
    assert is_pattern(text)
    assert allows(text, text.replace("*", "x"))
    assert allows(text, text.replace("*", "pr-123--x"))
    for wrong in ("", ".", "x.y", "x:1", "x/", "x@", "X", "é", "x\n", "%2e", "\u3002", "x" * 64):
        assert not allows(text, text.replace("*", wrong)), wrong


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "*://app.example.com",
        "https://*",
        "https://*:3000",
        "https://*.example.app",
        "https://-*.example.app",
        "https://*-.example.app",
        "https://app-*.app",
        "https://app-*",
        "https://app-*:443",
        "https://app-*.example.app:443",
        "https://app-*.example.app:*",
        "https://app-*.example.app:0",
        "https://app-*.example.app:65536",
        "https://app-*.example.app/",
        "https://app-*.example.app.",
        "https://app-*..example.app",
        "https://app-*-*.example.app",
        "https://app-**.example.app",
        "https://app.*.example.app",
        "https://app-*.*.app",
        "https://app.example.*",
        "https://App-*.example.app",
        "https://app-*.Example.app",
        "https://b\u00fccher-*.example.app",
        "https://user@app-*.example.app",
        "https://app-*@example.app.evil.com",
        "https://app-*.example.app\n",
        "https://app-[a-z]*.example.app",
        "https://app-.*.example.app",
        "http://1*.0.0.5",
        "http://[::*]:3000",
        "capacitor://*",
        "chrome-extension://abc*",
        "app://app-*.example.app",
        "null",
        "",
        "file://",
        "file://localhost",
        "ws://app.example.com",
        "ftp://app.example.com",
        "capacitor://",
        "capacitor://localhost/",
        "capacitor:localhost",
        "Capacitor://localhost",
        "capacitor://user@localhost",
        "capacitor://localhost:0",
        "https://.example.app",
        "https://a..example.app",
        "https://*.example.app,",
    ],
)
def test_an_origin_that_allows_too_much_or_nothing_is_refused(text: str) -> None:
    assert not is_origin(text)
    assert not is_pattern(text)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app-x.evil.com",
        "https://app-x-team.evil.com",
        "https://app-x-team.example.app.evil.com",
        "https://app-evil.com/-team.example.app",
        "https://app-evil.com#-team.example.app",
        "https://app-evil.com?-team.example.app",
        "https://app-evil.com\\-team.example.app",
        "https://app-evil.com:443@app-x-team.example.app",
        "https://app-x-team.example.app@evil.com",
        "https://app-user:pass-word@x-team.example.app",
        "https://app-..-team.example.app",
        "https://app-evil.x-team.example.app",
        "https://app-evil.com%2f-team.example.app",
        "https://app-\u3002-team.example.app",
        "https://evil.app-x-team.example.app",
        "https://app-x-team.example.app.",
        "https://app-x-team.example.app:443",
        "https://app-x-team.example.app:8443",
        "https://app-x-team.example.app/",
        "https://app-x-team.example.apps",
        "https://app-x-teamexample.app",
        "https://app-x-teamXexample.app",
        "https://app-x-team.exampleXapp",
        "https://app--team.example.app.",
        "https://xapp-x-team.example.app",
        "https://app-team.example.app",
        "https://app--team.example.app",
        "https://app-X-team.example.app",
        "https://APP-x-team.example.app",
        "HTTPS://app-x-team.example.app",
        "http://app-x-team.example.app",
        "https://app-b\u00fccher-team.example.app",
        "https://app-\u0661-team.example.app",
        "https://app-x-team.example.app\n",
        "https://evil.com\nhttps://app-x-team.example.app",
        "https://app-x\n-team.example.app",
        "https://app-x\0-team.example.app",
        "https://app-x -team.example.app",
        " https://app-x-team.example.app",
        "https://app-x-team.example.app https://evil.com",
        "https://app-x-team.example.app,https://evil.com",
        f"https://app-{'x' * 64}-team.example.app",
        f"https://app-{'x' * 65_000}-team.example.app",
        f"https://app-{'-team' * 13_000}.example.app",
        "https://example.app",
        "null",
        "",
    ],
)
def test_a_pattern_allows_only_hosts_that_match_it(origin: str) -> None:
    assert not allows(PATTERN, origin)
    assert not allows(f"https://x.example,{PATTERN}", origin)


def test_a_pattern_allows_punycode_in_its_own_domain() -> None:
    assert allows("https://*-team.example.app", "https://xn--bcher-team.example.app")


def _changed(chance: random.Random, text: str, alphabet: str) -> str:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(alphabet) + text[at + chance.randint(0, 2) :]
    return text


def test_a_pattern_never_allows_a_host_outside_its_domain() -> None:
    chance, origin = random.Random(1), PATTERN.replace("*", "x-y")
    alphabet = "abz09-_.*:/@\\?#%[]~ \n\r\t\0AZé\u0661\u3002+$|^"
    regex = re.compile(pattern_of_origins([PATTERN], any_local_port=False) or "")
    texts = {_changed(chance, origin, alphabet) for _ in range(20_000)}
    allowed = {text for text in texts if regex.fullmatch(text)}
    assert len(allowed) > 20
    for text in allowed:
        assert text.isascii()
        label, _, parent = text.removeprefix("https://").partition(".")
        assert parent == "example.app"
        assert label.startswith("app-")
        assert label.endswith("-team")
        assert label.replace("-", "").isalnum()


def test_every_accepted_pattern_has_a_fixed_domain() -> None:
    chance = random.Random(2)
    texts = {_changed(chance, PATTERN, "ab0-_.*:/@\\?#%[] \nAé") for _ in range(5000)}
    accepted = {text for text in texts if is_pattern(text)}
    assert len(accepted) > 20
    for text in accepted:
        label, _, parent = text.partition("://")[2].partition(".")
        assert (label.count("*"), "*" in parent, "." in parent) == (1, False, True)
        assert re.search("[a-z0-9]", label)
        assert re.fullmatch(r"[a-z0-9_.-]+(:\d+)?", parent)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:3000",
        "http://localhost:5173",
        "http://127.0.0.1:8081",
        "http://localhost:65535",
    ],
)
def test_development_also_allows_every_local_port(origin: str) -> None:
    for allowed in ("https://app.example.com", f"https://app.example.com,{PATTERN}", ","):
        assert allows(allowed, origin, "development")
        assert not allows(allowed, origin, "production")
    assert allows(PATTERN, "https://app-x-team.example.app", "development")


@pytest.mark.parametrize(
    "origin",
    [
        "https://localhost:3000",
        "http://localhost:",
        "http://localhost:0",
        "http://localhost:03000",
        "http://localhost:123456",
        "http://localhost:3000/",
        "http://localhost:3000\n",
        "http://localhost:3000@evil.com",
        "http://localhost.evil.com:3000",
        "http://evil.localhost:3000",
        "http://evil-localhost:3000",
        "http://Localhost:3000",
        "http://localhost:\u0663000",
        "http://127.0.0.1.evil.com:3000",
        "http://127x0.0.1:3000",
        "http://127.0.0.2:3000",
        "http://192.168.1.5:3000",
        "http://evil.com:3000",
        "null",
    ],
)
def test_development_allows_no_other_origin(origin: str) -> None:
    assert not allows("https://app.example.com", origin, "development")


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("https://app-*.vercel.app", True),
        ("https://app-*-team.vercel.app", True),
        ("https://tasks-pr-*.onrender.com", True),
        ("https://deploy-preview-*--tasks.netlify.app", True),
        ("https://app-*.westus2.azurestaticapps.net", True),
        ("https://app-*.co.uk", True),
        ("https://app-*.com.br:8443", True),
        ("https://app-*.example.app", False),
        ("https://app-*.tasks.pages.dev", False),
        ("https://app-*.notvercel.app", False),
        ("https://app.vercel.app", False),
        ("capacitor://localhost", False),
    ],
)
def test_a_pattern_that_strangers_can_match_is_detected(text: str, is_open: bool) -> None:
    assert is_open_to_strangers(text) == is_open


def test_startup_warns_of_a_pattern_that_strangers_can_match() -> None:
    messages: list[str] = []

    def record(line: logging.LogRecord) -> bool:
        messages.append(f"{line.levelname} {line.getMessage()}")
        return True

    logger.addFilter(record)
    try:
        create_app(settings_for(f"https://app.example.com,{PATTERN},https://app-*.vercel.app"))
    finally:
        logger.removeFilter(record)
    [message] = messages
    assert message.startswith("WARNING ALLOWED_ORIGINS has https://app-*.vercel.app: ")
