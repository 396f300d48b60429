"""The log: one format, one line per event, and no secrets or user data."""

import logging
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg2
import pytest
from pydantic import BaseModel
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from config import ROOT
from observability.logs import LineFormatter, logger
from postgres import driver
from tests.support.processes import started
from tests.support.services import (
    claims,
    database_of_its_own,
    eventually,
    forge,
    recorded_log,
    service,
    sql,
)
from tests.support.serving import ORIGIN, SECRET, bearer

LINE = re.compile(
    r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]"
    r" \[(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\]"
    r" \[(?P<user>[^\[\]]+)\] \[(?P<endpoint>[^\[\]]+)\]"
    r" \[(?P<message>.*?)(?: request_id=[\w.-]{1,128})?\]"
)
TASKS = "/api/alice/tasks"


@pytest.fixture(scope="module")
def client(postgres: URL) -> Iterator[httpx.Client]:
    """Alice's client of a service with an access log that fails for a task called Hidden milk."""
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Hidden milk')")
        with service(url, access_log=True) as client:
            yield client


def logged(call: Callable[[], httpx.Response], requests: int = 1) -> str:
    """Return everything that is logged during a call, up to the line of its last request."""
    with recorded_log() as log:
        call()
        end = r"\[\d{3} in [\d.]+ ms request_id=[\w.-]+\]\n"
        eventually(lambda: len(re.findall(end, log.getvalue())) >= requests)
    return log.getvalue()


def events(text: str) -> list[tuple[str, ...]]:
    """Return the level, user, endpoint and message of each line, after checking its format."""
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(matches), text
    return [match.group("level", "user", "endpoint", "message") for match in matches if match]


def test_a_request_is_logged_as_one_line(client: httpx.Client) -> None:
    [event] = events(logged(lambda: client.get(TASKS)))
    assert event[:3] == ("INFO", "alice", f"GET {TASKS}")
    assert re.fullmatch(r"200 in \d+\.\d ms", event[3])


def test_a_token_in_the_path_is_not_logged(client: httpx.Client) -> None:
    token = forge(claims("alice"))
    text = logged(lambda: client.get(f"/api/{token}/tasks"))
    assert "GET /api/<token>/tasks" in text
    assert "eyJ" not in text
    encoded = token.replace("e", "%65").replace(".", "%252E")
    text = logged(lambda: client.get(f"/api/{encoded}/tasks"))
    assert "GET /api/<token>/tasks" in text
    assert "%65" not in text


def test_a_very_long_path_is_cut(client: httpx.Client) -> None:
    assert len(logged(lambda: client.get("/" + "x" * 60_000))) < 5000


def test_an_unknown_user_is_logged_as_a_dash(client: httpx.Client) -> None:
    [event] = events(logged(lambda: client.get("/health/live")))
    assert event[:3] == ("INFO", "-", "GET /health/live")


HOUR_AGO = int(time.time()) - 3600
DENIED = [
    ("", 401, "NOT_AUTHENTICATED", "-", "no bearer token"),
    ("Basic YTpi", 401, "NOT_AUTHENTICATED", "-", "no bearer token"),
    ("Bearer x", 401, "INVALID_TOKEN", "-", "JWT"),
    (f"Bearer {forge(claims('alice', exp=None))}", 401, "INVALID_TOKEN", "-", "exp"),
    (f"Bearer {forge(claims('alice', sub=7))}", 401, "INVALID_TOKEN", "-", "sub"),
    (f"Bearer {forge(claims('alice', nbf=9e9))}", 401, "INVALID_TOKEN", "-", "nbf"),
    (
        f"Bearer {forge(claims('alice', crit=1), {'alg': 'none'})}",
        401,
        "INVALID_TOKEN",
        "-",
        "alg",
    ),
    (f"Bearer {forge(claims('alice'), secret='another')}", 401, "INVALID_TOKEN", "-", "jose"),
    (f"Bearer {forge(claims('alice', exp=HOUR_AGO))}", 401, "TOKEN_EXPIRED", "-", "exp"),
    (f"Bearer {forge(claims('bob'))}", 403, "FORBIDDEN", "bob", "path"),
]


@pytest.mark.parametrize(("authorization", "status", "code", "user", "reason"), DENIED)
def test_a_denied_request_is_logged_with_the_reason(
    client: httpx.Client, authorization: str, status: int, code: str, user: str, reason: str
) -> None:
    headers = {"Authorization": authorization}
    text = logged(lambda: client.get(TASKS, headers=headers))
    warning, _ = events(text)
    assert warning[:3] == ("WARNING", user, f"GET {TASKS}")
    assert re.fullmatch(rf"{status} {code}: .*{reason}.*", warning[3])
    for part in authorization.removeprefix("Bearer ").removeprefix("Basic ").split("."):
        assert len(part) < 4 or part not in text


def test_access_to_another_users_task_is_logged_with_the_reason(client: httpx.Client) -> None:
    path = client.post(TASKS, json={"title": "Tea"}).headers["location"]
    theirs = path.replace("alice", "bob")
    warning, _ = events(logged(lambda: client.get(theirs, headers=bearer("bob"))))
    assert warning == (
        "WARNING",
        "bob",
        f"GET {theirs}",
        "403 FORBIDDEN: the task is another user's client=127.0.0.1",
    )


def test_a_denied_request_is_logged_with_the_real_address_not_a_forged_one(
    client: httpx.Client,
) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    for authorization, status in (("", 401), (bearer("bob")["Authorization"], 403)):
        headers = {"Authorization": authorization, **forged}
        text = logged(lambda headers=headers: client.get(TASKS, headers=headers))  # type: ignore[misc]
        warning, _ = events(text)
        assert re.fullmatch(rf"{status} [A-Z_]+: .+ client=127\.0\.0\.1", warning[3])
        assert "203.0.113.9" not in text


FORWARDED = [
    (b"203.0.113.7", "203.0.113.7"),
    (b"198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the client sent the first address itself
    (b"2001:db8::7", "2001:db8::7"),
    (b"[2001:db8::7]:5000", "2001:db8::7"),
    (b"x] [forged", "-"),
    (b"x\x85[2026-01-01T00:00:00.000Z]", "-"),
    (b"9" * 300, "-"),
]


@pytest.mark.slow
def test_the_clients_address_is_taken_from_a_trusted_proxy(postgres: URL, tmp_path: Path) -> None:
    url = postgres.render_as_string(hide_password=False)
    settings = {"database_url": url, "forwarded_allow_ips": "127.0.0.1", "access_log": "true"}
    with started(tmp_path, **settings) as service, service.starts().client() as client:
        for number, (forwarded, _) in enumerate(FORWARDED):
            headers = [(b"X-Forwarded-For", forwarded), (b"X-Request-ID", b"%d" % number)]
            assert client.get("/api/bob/tasks", headers=headers).status_code == 403
        eventually(lambda: any("request_id=6" in line for line in service.lines))
        lines = [line for line in service.lines if "403 FORBIDDEN" in line]
    seen = [re.findall(r"client=(\S+) request_id=\d\]$", line) for line in lines]
    assert seen == [[address] for _, address in FORWARDED]


def test_a_bug_is_logged_with_its_stack_trace(client: httpx.Client) -> None:
    task = {"title": "Hidden milk", "description": "Hidden cow"}
    text = logged(lambda: client.post(f"{TASKS}?token=hidden", json=task))
    lines = text.splitlines()
    first, last = events("\n".join([lines[0], lines[-1]]))
    assert first == ("ERROR", "alice", f"POST {TASKS}", "500 INTERNAL_ERROR")
    assert last[3].startswith("500 in ")
    trace = "\n".join(lines[1:-1])
    assert lines[1] == "Traceback (most recent call last):"
    assert 'routes/tasks.py", line ' in trace
    assert "CheckViolation" in trace
    assert "hidden" not in text.lower()
    assert not LINE.search(trace)


def test_an_outage_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = URL.create("postgresql", "postgres", "hidden-word", "127.0.0.1", 9, "hidden-name")
    monkeypatch.setattr(driver, "STATEMENT_TIMEOUT", 0.2)  # so that the test waits less
    with service(nowhere, access_log=True) as client:
        lines = events(logged(lambda: client.get(TASKS)))
    [outage] = [line for line in lines if line[3].startswith("503 DATABASE")]
    assert outage[:3] == ("WARNING", "alice", f"GET {TASKS}")
    assert outage[3].startswith("503 DATABASE_UNAVAILABLE: ")
    assert "hidden" not in outage[3]
    assert "127.0.0.1" not in outage[3]


def test_private_data_is_never_logged(client: httpx.Client) -> None:
    """The requests succeed, fail in several ways, or have tokens in the query string."""
    token = forge(claims("alice"))
    private = {"title": "Hidden title", "description": "Hidden description"}

    def calls() -> httpx.Response:
        client.post(TASKS, json=private)
        client.post(TASKS, json={**private, "completed": "hidden", "title": 9})
        client.post(TASKS, content=b'{"title": "Hidden')
        client.get(TASKS, params={"token": token, "cursor": "hidden", "limit": "hidden"})
        client.get(TASKS, params={"access_token": token}, headers={"Authorization": ""})
        client.get(TASKS, headers={"Authorization": f"Bearer {token}hidden"})
        client.get(TASKS, headers={"Cookie": f"session={token}", "X-Other": "hidden"})
        return client.get("/health", params={"token": token})

    with recorded_log() as debug:
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.DEBUG)
        try:
            calls()
        finally:
            root.setLevel(level)
    text = debug.getvalue() + logged(calls, 8)
    assert len(events(text)) >= 18
    for secret in (SECRET, "hidden", "?", *token.split(".")):
        assert secret.lower() not in text.lower()


FORGED = "[2026-01-01T00:00:00.000Z] [ERROR] [root] [GET /] [forged]"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x1c", "\x85", "\u2028", "\0", "]"])
def test_no_path_can_forge_a_log_line(client: httpx.Client, end: str) -> None:
    path = f"/api/{quote(end + FORGED.replace('/', ''))}/tasks"
    warning, request = events(logged(lambda: client.get(path)))
    assert warning[:2] == ("WARNING", "alice")
    assert request[:2] == ("INFO", "alice")
    assert warning[2] == request[2] == f"GET {path}"


def test_no_raw_byte_of_a_request_can_forge_a_log_line(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    requests = [
        "GET /api/[-]/]%20[/[forged HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /api/{FORGED}/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\x85[x]\x9b\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX-{FORGED}: \x85{FORGED}\r\n\r\n",
        f"{FORGED}\r\n\r\n",
    ]
    with recorded_log() as log:
        for request in requests:
            assert port is not None
            with socket.create_connection((host, port), 5) as connection:
                connection.sendall(request.encode("latin-1"))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        time.sleep(0.1)
    seen = events(log.getvalue())
    assert {user for _, user, _, _ in seen} == {"-"}
    assert seen[0][2] == r"GET /api/\x5b-\x5d/\x5d%20\x5b/\x5bforged"


@pytest.mark.parametrize("user_id", [f"a\n{FORGED}", "a] [b", "[", "a\u2028\u2029", "é\x1b[31m"])
def test_no_user_id_can_forge_a_log_line(client: httpx.Client, user_id: str) -> None:
    headers = {"Authorization": f"Bearer {forge(claims(user_id))}"}
    warning, request = events(logged(lambda: client.get(TASKS, headers=headers)))
    assert warning[1] == request[1] != "-"
    assert warning[3].startswith("403 FORBIDDEN")


@pytest.mark.parametrize("header", [f"Bearer \x85{FORGED}", f"{FORGED} x", "Bearer \x9b31m"])
def test_no_header_can_forge_a_log_line(client: httpx.Client, header: str) -> None:
    headers = [(b"Authorization", header.encode("latin-1"))]
    warning, _ = events(logged(lambda: client.get(TASKS, headers=headers)))
    assert warning[:2] == ("WARNING", "-")
    assert "forged" not in warning[3]


def test_the_message_of_any_logger_stays_on_one_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "a\n%s", (FORGED,), None)
    [event] = events(LineFormatter().format(record))
    assert event == ("INFO", "-", "-", f"a\\x0a{FORGED}")


def test_requests_are_logged_only_with_the_setting_access_log(postgres: URL) -> None:
    with database_of_its_own(postgres) as url, service(url) as client, recorded_log() as log:
        assert client.get(TASKS).status_code == 200
        time.sleep(0.1)
    assert log.getvalue() == ""


@pytest.mark.slow
def test_the_whole_output_of_the_service_has_one_format(postgres: URL, tmp_path: Path) -> None:
    """This includes uvicorn's lines. All output goes to stdout, and none to stderr."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "DATABASE_URL": postgres.render_as_string(hide_password=False),
        "BETTER_AUTH_SECRET": SECRET,
        "ALLOWED_ORIGINS": ORIGIN,
        "PORT": str(port),
        "DATA_DIR": str(tmp_path),
        "LOG_LEVEL": "debug",
    }
    command = [sys.executable, "main.py"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: responds(client), 20)
            client.get(f"{TASKS}?token=hidden")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    messages = [message for *_, message in events(out)]
    assert (process.returncode, err) == (0, "")
    assert "Application shutdown complete." in messages
    served = messages[messages.index("Application startup complete.") :]
    assert any(f"http://localhost:{port}/docs" in message for message in served[:5])
    assert any("uv run auth.py" in message for message in served[:5])
    assert "hidden" not in out


def responds(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


SECRET_TITLE = "Oat milk"  # a constant, because a stack trace shows the lines of the program


class Row(BaseModel):
    title: int


def told_by_the_validator() -> None:
    Row.model_validate({"title": SECRET_TITLE})


def told_by_the_driver() -> None:
    raise psycopg2.IntegrityError(f"Key (title)=({SECRET_TITLE}) already exists.")


def told_by_sqlalchemy() -> None:
    raise DBAPIError("INSERT", {"title": SECRET_TITLE}, psycopg2.DataError(SECRET_TITLE))


@pytest.mark.parametrize("fails", [told_by_the_validator, told_by_the_driver, told_by_sqlalchemy])
def test_a_stack_trace_leaves_out_texts_that_quote_a_client(fails: Callable[[], None]) -> None:
    with recorded_log() as log:
        try:
            fails()
        except Exception as error:
            logger.error("500 INTERNAL_ERROR", exc_info=error)
    assert "(text withheld" in log.getvalue()
    assert fails.__name__ in log.getvalue()
    assert SECRET_TITLE not in log.getvalue()
