"""OpenTelemetry: what a service process exports to an OTLP endpoint."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from sqlalchemy.engine import URL

from tests.support.collector import Collector, attributes, collecting
from tests.support.processes import STOP_LIMIT, Service, started
from tests.support.services import database_of_its_own, eventually, locked_tasks, sql
from tests.support.serving import SECRET, bearer

TASKS = "/api/alice/tasks"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture(scope="module")
def database(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        sql(url, "ALTER TABLE tasks ADD CONSTRAINT no_milk CHECK (title <> 'Hidden milk')")
        yield url


@contextmanager
def watched(folder: Path, database: URL, endpoint: str, **variables: object) -> Iterator[Service]:
    """Run a service that exports to `endpoint`."""
    settings: dict[str, object] = {
        "database_url": database.render_as_string(hide_password=False),
        "environment": "production",
        "host": "127.0.0.1",
        "access_log": "true",
        "db_pool_size": 2,
        "db_max_overflow": 0,
        "otel_exporter_otlp_endpoint": endpoint,
        "otel_bsp_schedule_delay": 100,
        "otel_blrp_schedule_delay": 100,
        "otel_metric_export_interval": 200,
    }
    with started(folder, **{**settings, **variables}) as service:
        yield service.starts()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, database: URL, collector: Collector
) -> Iterator[Service]:
    with watched(tmp_path_factory.mktemp("data"), database, collector.url) as service:
        yield service
        assert service.stops() == 0


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def server_span(collector: Collector, name: str, status: int) -> Span:
    """Return the newest span of a request with this name and status."""

    def found() -> list[Span]:
        return [
            span
            for span in collector.spans()
            if span.name == name and attributes(span)["http.response.status_code"] == status
        ]

    return eventually(found)[-1]


def children(collector: Collector, parent: Span) -> list[Span]:
    return [span for span in collector.spans() if span.parent_span_id == parent.span_id]


def value(metric: Metric, **where: str) -> float:
    """Return the value of the metric's data point with these attributes."""
    points = getattr(metric, str(metric.WhichOneof("data"))).data_points
    wanted = {name.replace("__", "."): text for name, text in where.items()}
    [point] = [point for point in points if wanted.items() <= attributes(point).items()]
    kind = point.WhichOneof("value") if hasattr(point, "as_int") else None
    return float(getattr(point, kind) if kind else point.count)


def test_a_request_is_exported_as_a_trace_a_metric_and_a_log_line(
    client: httpx.Client, collector: Collector
) -> None:
    headers = {**TRACEPARENT, "X-Request-ID": "one"}
    created = client.post(TASKS, json={"title": "Tea"}, headers=headers)
    assert created.status_code == 201

    request = server_span(collector, "POST /api/{user_id}/tasks", 201)
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert request.status.code == Status.STATUS_CODE_UNSET
    told = attributes(request)
    assert told["http.route"] == "/api/{user_id}/tasks"
    assert (told["http.request.method"], told["url.path"]) == ("POST", TASKS)

    [statement] = eventually(lambda: children(collector, request))
    assert (statement.name, statement.kind) == ("INSERT", Span.SPAN_KIND_CLIENT)
    assert statement.trace_id.hex() == TRACE
    told = attributes(statement)
    assert set(told) == {"db.system.name", "db.operation.name", "db.query.text"}
    assert (told["db.system.name"], told["db.operation.name"]) == ("postgresql", "INSERT")
    assert "%(title)s" in told["db.query.text"]

    def lines() -> list[Any]:
        return [
            line for line in collector.records() if attributes(line).get("http.request.id") == "one"
        ]

    [line] = eventually(lines)
    assert line.body.string_value.startswith("201 in ")
    assert line.severity_text == "INFO"
    assert (line.trace_id, line.span_id) == (request.trace_id, request.span_id)
    assert attributes(line) == {
        "user.id": "alice",
        "http.request.id": "one",
        "endpoint": f"POST {TASKS}",
    }

    name = "http.server.request.duration"
    eventually(lambda: name in collector.metrics())
    metric = collector.metrics()[name]
    where = {"http__route": "/api/{user_id}/tasks", "http__request__method": "POST"}
    assert metric.unit == "s"
    assert value(metric, **where) >= 1
    assert collector.resource()["service.name"] == "task-management-api"


@pytest.mark.slow
def test_metrics_of_the_connection_pool_are_exported(
    client: httpx.Client, collector: Collector, database: URL, service: Service
) -> None:
    """Two requests hold both connections and wait for a lock, so a third one times out."""
    name = "db.client.connection"

    def is_now(metric: str, number: int, **where: str) -> None:
        eventually(lambda: value(collector.metrics()[f"{name}.{metric}"], **where) == number)

    assert client.get(TASKS).status_code == 200
    eventually(lambda: f"{name}.max" in collector.metrics())
    is_now("max", 2)
    is_now("pending_requests", 0)
    before = value(collector.metrics()[f"{name}.timeouts"])
    with locked_tasks(database) as release:
        asked = [_ask(service) for _ in range(3)]
        is_now("count", 2, db__client__connection__state="used")
        is_now("count", 0, db__client__connection__state="idle")
        is_now("pending_requests", 1)
        is_now("timeouts", int(before) + 1)
        release()
        statuses = sorted(_status(connection) for connection in asked)
    assert statuses == [200, 200, 503]
    is_now("count", 0, db__client__connection__state="used")
    is_now("count", 2, db__client__connection__state="idle")
    assert "tasks.requests.refused" in collector.metrics()


def _ask(service: Service) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), 10)
    head = f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer('alice')['Authorization']}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


def _status(connection: socket.socket) -> int:
    with connection:
        return int(connection.recv(65536).split()[1])


def test_a_500_is_exported_with_its_stack_trace_but_not_its_message(
    client: httpx.Client, collector: Collector
) -> None:
    response = client.post(TASKS, json={"title": "Hidden milk"}, headers=TRACEPARENT)
    assert response.status_code == 500
    request = server_span(collector, "POST /api/{user_id}/tasks", 500)
    assert request.status.code == Status.STATUS_CODE_ERROR
    assert attributes(request)["error.type"] == "500"
    [event] = request.events
    told = attributes(event)
    assert (event.name, told["exception.type"]) == ("exception", "psycopg2.errors.CheckViolation")
    assert 'routes/tasks.py", line ' in told["exception.stacktrace"]
    [statement] = eventually(lambda: children(collector, request))
    assert statement.status.code == Status.STATUS_CODE_ERROR
    assert attributes(statement)["error.type"] == "23514"

    def statuses() -> set[int]:
        metric = collector.metrics()["http.server.request.duration"]
        points = metric.histogram.data_points
        return {attributes(point)["http.response.status_code"] for point in points}

    eventually(lambda: 500 in statuses())


@pytest.mark.parametrize(
    ("path", "headers", "name", "status"),
    [
        (TASKS, {"Authorization": ""}, "GET /api/{user_id}/tasks", 401),
        (f"{TASKS}/999999999999", {}, "GET /api/{user_id}/tasks/{task_id}", 404),
        ("/nowhere", {}, "GET", 404),
        ("/health", {}, "GET /health", 200),
    ],
)
def test_a_4xx_is_exported_as_a_span_without_an_error(
    client: httpx.Client,
    collector: Collector,
    path: str,
    headers: dict[str, str],
    name: str,
    status: int,
) -> None:
    assert client.get(path, headers=headers).status_code == status
    request = server_span(collector, name, status)
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert not request.events


def test_a_long_path_is_cut_in_a_span_without_a_warning(
    service: Service, client: httpx.Client, collector: Collector
) -> None:
    """The statement of the health check is cut too."""
    assert client.put("/" + "a" * 60_000).status_code == 404
    span = server_span(collector, "PUT", 404)
    assert attributes(span)["url.path"] == "/" + "a" * 4095
    assert client.get("/health").status_code == 200
    assert not any("truncating" in line for line in service.lines)


def test_private_data_is_never_exported(client: httpx.Client, collector: Collector) -> None:
    token = client.headers["authorization"].removeprefix("Bearer ")
    private = {"title": "Hidden title", "description": "Hidden description"}
    client.post(TASKS, json=private)
    client.post(TASKS, json={"title": "Hidden milk", "description": "Hidden cow"})
    client.post(TASKS, json={"title": 9, "description": "Hidden"})
    client.get(TASKS, params={"token": token, "cursor": "Hidden", "sort": "title"})
    client.get(TASKS, params={"limit": 1, "sort": "title", "access_token": token})
    client.get(TASKS, headers={"Authorization": f"Bearer {token}hidden"})
    for escape in ("%65", "%2565"):
        encoded = token.replace("e", escape)
        client.get(f"/api/{encoded}/tasks")
        client.get(f"/nowhere/{encoded}")
    client.get(TASKS, headers={"Host": token.replace("_", "-"), "X-Request-ID": token[:128]})
    client.get(TASKS, headers={"Authorization": "", "Cookie": token})
    client.get("/the-last-one?token=hidden")
    paths = {"/the-last-one"}  # exported as a span and as a log line
    eventually(lambda: paths <= {attributes(span).get("url.path") for span in collector.spans()})
    eventually(lambda: collector.raw.count(b"/the-last-one") >= 2)
    queries = [attributes(span).get("url.query") for span in collector.spans()]
    assert set(queries) == {None, "REDACTED"}
    header, payload, signature = token.split(".")
    assert unquote_to_bytes(collector.raw).count(b"<token>") >= 8
    for secret in (SECRET, "hidden", header, payload, signature):
        assert secret.lower().encode() not in collector.raw.lower()
        assert secret.encode() not in unquote_to_bytes(unquote_to_bytes(collector.raw))


def test_the_address_of_a_denied_client_is_exported(
    client: httpx.Client, collector: Collector
) -> None:
    client.get(TASKS, headers={"Authorization": "", "X-Request-ID": "anonymous"})

    def told() -> list[dict[str, Any]]:
        lines = map(attributes, collector.records())
        return [line for line in lines if line.get("http.request.id") == "anonymous"]

    eventually(lambda: any(line.get("client.address") == "127.0.0.1" for line in told()))


@pytest.mark.slow
def test_the_service_exports_the_rest_when_it_stops(
    tmp_path: Path, database: URL, collector: Collector
) -> None:
    """The export intervals are so long that nothing is exported before the service stops."""
    never = dict.fromkeys(
        ("otel_bsp_schedule_delay", "otel_blrp_schedule_delay", "otel_metric_export_interval"),
        600_000,
    )
    with (
        collecting() as last,
        watched(tmp_path, database, last.url, otel_service_name="other", **never) as service,
    ):
        with service.client() as client:
            assert client.get(TASKS).status_code == 200
        assert last.raw == b""
        assert service.stops() == 0
        assert server_span(last, "GET /api/{user_id}/tasks", 200)
        assert "http.server.request.duration" in last.metrics()
        assert any(line.body.string_value.startswith("200 in") for line in last.records())
        assert last.resource()["service.name"] == "other"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["absent", "slow", "refusing"])
def test_a_bad_collector_delays_neither_requests_nor_shutdown(
    tmp_path: Path, database: URL, fault: str
) -> None:
    with (
        collecting(status=503 if fault == "refusing" else 200, delay=30) as bad,
        socket.create_server(("127.0.0.1", 0)) as unused,
    ):
        if fault == "refusing":
            bad.delay = 0
        port = unused.getsockname()[1]
        unused.close()
        endpoint = f"http://127.0.0.1:{port}" if fault == "absent" else bad.url
        with watched(tmp_path, database, endpoint, access_log="false") as service:
            with service.client() as client:
                begun = time.monotonic()
                for _ in range(200):
                    assert client.get(TASKS).status_code == 200
                assert time.monotonic() - begun < 8
            begun = time.monotonic()
            assert service.stops() == 0
            assert time.monotonic() - begun < STOP_LIMIT / 2
            assert not any(TASKS in line for line in service.lines), service.lines


@pytest.mark.slow
def test_each_worker_exports_as_a_separate_instance(tmp_path: Path, database: URL) -> None:
    with (
        collecting() as collector,
        watched(tmp_path, database, collector.url, web_concurrency=2) as service,
    ):

        def instances() -> set[str]:
            return {
                attributes(each.resource)["service.instance.id"]
                for request in collector.received["/v1/metrics"]
                for each in request.resource_metrics
            }

        eventually(lambda: len(instances()) == 2)
        assert service.stops() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, None),
        ({"otel_sdk_disabled": "true"}, None),
        ({"otel_traces_exporter": "none"}, "OpenTelemetry: metrics, logs are exported"),
        ({"otel_exporter_otlp_protocol": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be"),
        ({"otel_logs_exporter": "console"}, "OTEL_LOGS_EXPORTER must be otlp or none"),
        ({"otel_exporter_otlp_headers": "hidden-key"}, "OTEL_EXPORTER_OTLP_HEADERS must be"),
        ({"otel_bsp_max_queue_size": "1"}, "Telemetry is off: a variable OTEL_"),
    ],
)
def test_environment_variables_control_the_export(
    tmp_path: Path, database: URL, variables: dict[str, str], said: str | None
) -> None:
    endpoint = "http://127.0.0.1:9" if variables else ""
    with watched(tmp_path, database, endpoint, **variables) as service, service.client() as client:
        assert client.get("/health").status_code == 200
        maps = Path(f"/proc/{service.process.pid}/maps").read_text()
        lines = [line for line in service.lines if "elemetry" in line]
    assert "hidden" not in "".join(lines)
    if said is None:
        assert lines == []
        assert "google/_upb" not in maps, "protobuf, and therefore the SDK, was imported"
    else:
        assert said in lines[0]


@pytest.mark.slow
def test_without_the_sdk_the_service_runs_and_logs_how_to_install_it(
    tmp_path: Path, database: URL
) -> None:
    """The SDK can't be imported, as in a production install without the extra."""
    hide = "import sys; sys.modules['opentelemetry.sdk'] = None; "
    run = "import runpy; sys.argv = ['main.py']; runpy.run_path('main.py', run_name='__main__')"
    with started(
        tmp_path,
        "-c",
        hide + run,
        database_url=database.render_as_string(hide_password=False),
        environment="production",
        host="127.0.0.1",
        otel_exporter_otlp_endpoint="http://127.0.0.1:9",
    ) as service:
        service.starts()
        with service.client() as client:
            assert client.get(TASKS).status_code == 200
        [line] = [line for line in service.lines if "elemetry" in line]
    assert "[WARNING]" in line
    assert "uv sync --no-dev --extra telemetry" in line
