"""The example's command: it starts everything from a new clone, and leaves no process behind."""

import socket
from pathlib import Path

import httpx
import psutil
import pytest

from config import ROOT
from examples import node, ports
from examples.output import COLORS
from tests.example.command import CTRL_C, Command, client, copy_repository, started
from tests.support.processes import postmaster, until

pytestmark = pytest.mark.parts

NAMES = ("api", "auth", "frontend")  # of ports
EVERYTHING = ("service", "auth", "frontend")
FIELDS = {"email": "alice@example.com", "password": "correct horse", "name": "alice"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository whose path contains a space."""
    return copy_repository(tmp_path_factory.mktemp("example") / "a folder" / "clone")


def sign_up(browser: httpx.Client) -> str:
    """Sign alice up, add her token to the client, and return the path of her tasks."""
    signed_up = browser.post("/api/auth/sign-up/email", json=FIELDS)
    assert signed_up.status_code == 200, signed_up.text
    token = browser.get("/api/auth/token").json()["token"]
    browser.headers["Authorization"] = f"Bearer {token}"
    return f"/api/{signed_up.json()['user']['id']}/tasks"


def test_one_command_starts_everything_and_ctrl_c_stops_it(folder: Path) -> None:
    with started(folder) as command:
        origin = command.starts()
        assert [line for line in command.lines if line.startswith("open ")] == [f"open {origin}"]
        for name in EVERYTHING:
            colored = f"\x1b[{COLORS[name]}m{name:8} | \x1b[0m"
            assert any(line.startswith(colored) for line in command.lines)
        with client(origin) as browser:
            page = browser.get("/")
            assert (page.status_code, "<html" in page.text) == (200, True)
            tasks = sign_up(browser)
            created = browser.post(tasks, json={"title": "Buy milk"})
            assert created.status_code == 201, created.text
            assert browser.get(tasks).json()["tasks"] == [created.json()]
            command.types(CTRL_C)
        assert command.ends() == 0


def test_the_second_start_installs_nothing_and_still_has_the_tasks(folder: Path) -> None:
    """This one is stopped by closing its terminal."""
    with started(folder) as command, client(command.starts()) as browser:
        assert not any("added" in line for line in command.lines)
        signed_in = browser.post("/api/auth/sign-in/email", json=FIELDS).json()
        token = browser.get("/api/auth/token").json()["token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        [task] = browser.get(f"/api/{signed_in['user']['id']}/tasks").json()["tasks"]
        assert task["title"] == "Buy milk"
        command.closes_terminal()
        command.ends()


def test_when_the_service_is_killed_all_other_processes_stop(folder: Path) -> None:
    with started(folder) as command:
        command.starts()
        command.process_of("main.py").kill()
        assert command.ends() == 1
        assert "service ended with code -9. Stopping the others." in command.lines


def test_a_killed_command_leaves_no_process_behind(folder: Path) -> None:
    with started(folder) as command:
        command.starts()
        [python] = command_itself(command)
        python.kill()
        command.leaves_nothing(10)


def test_the_command_stops_when_uv_is_killed(folder: Path) -> None:
    with started(folder, hangs_up=False) as command:
        command.starts()
        command.process.kill()
        command.leaves_nothing(10)


def command_itself(command: Command) -> list[psutil.Process]:
    return psutil.Process(command.process.pid).children()


def test_sigterm_stops_a_command_that_is_still_starting(folder: Path) -> None:
    with started(folder) as command:
        until(lambda: postmaster(folder / ".data/postgres"), "Postgres to start")
        command.process.terminate()
        command.ends()


def test_a_port_in_use_is_reported_in_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with started(folder, "--auth-port", port) as command:
            assert command.ends() == 1
            [line] = command.lines
    assert line == (
        f"Port {port} is in use. Stop the program that uses it, or add --auth-port PORT."
    )


@pytest.mark.parametrize("option", ["--api-port", "--auth-port", "--frontend-port"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_each_port_is_checked_on_both_addresses_of_localhost(option: str, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        chosen = [port if option.startswith(f"--{name}") else 0 for name in NAMES]
        with pytest.raises(SystemExit, match=f"Port {port} is in use.*add {option} PORT"):
            ports.check(*chosen)


@pytest.mark.parametrize("version", [None, "v18.20.8", "v20.18.3", "nonsense"])
def test_a_missing_or_outdated_node_is_reported(
    version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for program in ("node", "npm") if version else ():
        (tmp_path / program).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / program).chmod(0o755)
    with pytest.raises(SystemExit) as raised:
        node.check()
    found = f" {tmp_path}/node is {version}." if version else ""
    assert str(raised.value) == f"{node.MISSING}.{found}"


def test_the_documented_file_is_the_same_as_in_the_example() -> None:
    documented = (ROOT / "docs/frontend/migrate.ts").read_text()
    assert (ROOT / "examples/auth/migrate.ts").read_text() == documented
