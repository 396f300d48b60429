"""No token gets into the log or a span, whatever its encoding and position."""

import json
import logging
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from observability.instruments import LogExporter
from observability.logs import LineFormatter, request_context
from observability.redaction import MAX_PATH, holds_token, redact, shown_path
from tests.support.services import base64url, claims, forge

COMMON = forge(claims("alice"))
# The header begins with a space, so the token doesn't begin with `eyJ`.
SPACED = forge(claims("alice"), b' {"alg": "HS256", "typ": "JWT"}')
TOKENS = [COMMON, SPACED]


def secrets_of(token: str) -> list[str]:
    """Return short pieces of `token`, none of which a line may contain."""
    return [part[start : start + 8] for part in token.split(".") for start in range(0, 36, 4)][1:]


def escaped(character: str, choose: random.Random) -> str:
    """Percent-encode a character, in upper or lower case."""
    return f"%{ord(character):02{choose.choice('xX')}}"


def encoded(text: str, rounds: int, share: float, seed: int) -> str:
    """Return `text` after `rounds` rounds that each percent-encode a share of its characters."""
    choose = random.Random(seed)
    for _ in range(rounds):
        text = "".join(escaped(each, choose) if choose.random() < share else each for each in text)
    return text


ENCODINGS: list[tuple[str, Callable[[str], str]]] = [
    ("plain", str),
    ("dots", lambda text: text.replace(".", "%2E")),
    ("e", lambda text: text.replace("e", "%65")),
    ("y", lambda text: text.replace("y", "%79")),
    ("J", lambda text: text.replace("J", "%4a")),
    ("twice", lambda text: text.replace("e", "%2565")),
    ("three times", lambda text: text.replace("e", "%252565")),
    ("digits of the code", lambda text: text.replace("e", "%%36%35")),
    ("all of it", lambda text: "".join(f"%{ord(each):02x}" for each in text)),
    ("all of it, twice", lambda text: "".join(f"%25{ord(each):02x}" for each in text)),
    ("a hundred times", lambda text: text.replace("e", "%" + "25" * 100 + "65", 1)),
]


def is_hidden(token: str, shown: str) -> bool:
    return all(part not in shown and part not in quote(shown) for part in secrets_of(token))


@pytest.mark.parametrize("token", TOKENS, ids=["common", "spaced"])
@pytest.mark.parametrize("encode", [each for _, each in ENCODINGS], ids=[n for n, _ in ENCODINGS])
def test_an_encoded_token_is_not_logged(token: str, encode: Callable[[str], str]) -> None:
    shown = shown_path(f"/api/{encode(token)}/tasks")
    assert "<token>" in shown
    assert is_hidden(token, shown)


@pytest.mark.parametrize("token", TOKENS, ids=["common", "spaced"])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1])
def test_a_token_in_any_mix_of_encodings_is_not_logged(
    token: str, rounds: int, share: float
) -> None:
    for seed in range(20):
        path = f"/api/x{encoded('/' + token, rounds, share, seed)}/tasks"
        if len(path) <= MAX_PATH:
            assert "<token>" in shown_path(path), path
        assert is_hidden(token, shown_path(path)), path


@pytest.mark.parametrize("token", TOKENS, ids=["common", "spaced"])
def test_a_token_cut_off_by_the_length_limit_is_not_logged(token: str) -> None:
    for length in range(MAX_PATH - len(token) - 5, MAX_PATH + 5):
        path = "/" + "x" * (length - 2) + "/" + token
        shown = shown_path(path)
        assert is_hidden(token, shown)
        assert len(shown) <= MAX_PATH + 4


@pytest.mark.parametrize("junk", ["\n", "%0A", "%0d%0a", "%20", "%00", "=", "%C3%A4", "%2F"])
def test_the_rest_of_a_broken_token_is_not_logged(junk: str) -> None:
    """A token that was copied from a terminal may contain line breaks, for example."""
    header, payload, signature = COMMON.split(".")
    path = f"/api/{header}.{payload[:20]}{junk}{payload[20:]}.{signature}/tasks"
    shown = shown_path(path)
    assert shown.startswith("/api/<token>")
    if junk != "%2F":  # a slash ends a token
        assert is_hidden(COMMON, shown)


ORDINARY = [
    "/api/auth0%7C5f7c8ec7c33c6c004bbafe82/tasks/17",
    "/api/alice@example.com/tasks",
    "/api/%E6%9D%8E%E5%B0%8F%E9%BE%99/tasks",
    "/api/3f0c1a52-8f4e-4d9e-9d59-5f3f6a1b2c3d/tasks/1/complete",
    "/api/100%25/tasks",
    "/api/twice%2520encoded/tasks",
    "/api/a%zz%/tasks",
    "/assets/some-long-file-name.with-several.dots-in-it.and-hyphens/x",
]


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_path_is_logged_unchanged(path: str) -> None:
    assert shown_path(path) == path


def test_a_query_string_is_not_logged() -> None:
    assert shown_path("/api/alice/tasks?q=milk") == "/api/alice/tasks"


@pytest.mark.parametrize("token", TOKENS, ids=["common", "spaced"])
def test_a_token_is_removed_from_every_field_of_a_log_line(token: str) -> None:
    """The fields are the path, the user id, the message and the text of an error."""
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": f"/{token}".encode(),
        "headers": [(b"x-request-id", token.encode())],
        "user_id": token,
    }
    record = logging.LogRecord("x", logging.INFO, "", 0, "refused: %s", (token,), None)
    error = ValueError(f"no user {token}")
    record.exc_info = (ValueError, error, None)
    record.__dict__.update(request_context(scope))
    line = LineFormatter().format(record)
    assert line.count("<token>") == 4
    assert is_hidden(token, line)


def test_a_request_id_that_is_a_token_is_replaced() -> None:
    short = ".".join(base64url(part) for part in (b'{"alg":"HS256"}', b'{"sub":"a"}', b"x" * 32))
    assert len(short) <= 128
    request_id = request_context(
        {"method": "GET", "path": "/", "headers": [(b"x-request-id", short.encode())]}
    )
    assert len(request_id["request_id"]) == 32
    assert holds_token(short)


def test_asyncios_messages_are_logged_without_the_texts_of_errors() -> None:
    text = "Task exception was never retrieved\nfuture: <Task exception=Error('Oat milk')>"
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, text, None, None)
    assert "[Task exception was never retrieved]" in LineFormatter().format(record)


def test_a_token_in_a_message_is_not_exported() -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    record = logging.LogRecord("tasks", logging.INFO, "", 0, "refused: %s", (COMMON,), None)
    LogExporter(provider).emit(record)
    [exported] = exporter.get_finished_logs()
    assert exported.log_record.body == "refused: <token>"


def test_the_text_around_a_token_is_kept() -> None:
    assert redact(f"Authorization: Bearer {COMMON}, and more") == (
        "Authorization: Bearer <token>, and more"
    )
    assert redact(json.dumps({"token": COMMON})) == '{"token": "<token>"}'
