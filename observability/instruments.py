"""Telemetry other than that of requests: statements, connections, and the log."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import psycopg2
from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from observability import tracebacks
from observability.logs import message
from postgres.async_connection import Row
from postgres.driver import Connection
from postgres.pool import Pool

CHANGE = re.compile(r"\b(?:INSERT|UPDATE|DELETE)\b")
POOL = {"db.client.connection.pool.name": "tasks"}
# These loggers report on the sending of telemetry. Exporting their lines would cause new ones
# without end.
NOT_EXPORTED = ("opentelemetry", "urllib3", "requests")
SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


class Admission(Protocol):
    """The counts of routing/admission.py."""

    @property
    def waiting(self) -> int: ...
    @property
    def refusals(self) -> int: ...

    timeouts: int


class Application(Protocol):
    """The parts of the application (main.py) that telemetry needs."""

    state: Any
    version: str


class Database(Protocol):
    """The parts of database.py that telemetry observes."""

    pool: Pool
    connection_class: type[Connection]


def traced_connection(tracer: Tracer) -> type[Connection]:
    """Return a connection class whose statements are spans, named by the semantic conventions.

    The text of each of the service's statements is a constant with placeholders; the values are not
    recorded.
    See https://opentelemetry.io/docs/specs/semconv/database/postgresql/.
    """

    class TracedConnection(Connection):
        async def execute(
            self, cursor: Any, statement: Any, parameters: Any, elapsed: float = 0.0
        ) -> list[Row]:
            sql = str(statement)  # the same text if it is sent as an EXECUTE, or again
            change = CHANGE.search(sql)  # may be inside a WITH
            operation = change[0] if change else sql.split(maxsplit=1)[0].upper()
            attributes = {
                "db.system.name": "postgresql",
                "db.operation.name": operation,
                "db.query.text": sql,
            }
            with tracer.start_as_current_span(
                operation,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                record_exception=False,  # its text may quote the client
                set_status_on_exception=False,
            ) as span:
                try:
                    return await super().execute(cursor, statement, parameters, elapsed)
                except BaseException as error:
                    span.set_status(StatusCode.ERROR)
                    span.set_attribute("error.type", _sqlstate(error) or tracebacks.name_of(error))
                    raise

    return TracedConnection


def _sqlstate(error: BaseException) -> str | None:
    return error.pgcode if isinstance(error, psycopg2.Error) else None


def record_error(error: BaseException) -> None:
    """Add `error` to the request's span, if there is one, without text that may quote a client."""
    span = trace.get_current_span()
    if span.is_recording():
        attributes = {
            "exception.type": tracebacks.name_of(error),
            "exception.stacktrace": tracebacks.stack_trace(error),
        }
        span.add_event("exception", attributes)


def observe_pool(meter: Meter, pool: Pool, admission: Admission) -> None:
    """Add the metrics of the pool to `meter`.

    Requests also wait before they reach the pool (routing/admission.py), so the metrics count both.
    See https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools.
    """

    def observe(read: Callable[[], int], **attributes: str) -> Any:
        def observed(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(read(), {**POOL, **attributes})

        return observed

    name = "db.client.connection"
    state = f"{name}.state"
    meter.create_observable_up_down_counter(
        f"{name}.count",
        [
            observe(lambda: pool.in_use, **{state: "used"}),
            observe(lambda: pool.idle, **{state: "idle"}),
        ],
        "{connection}",
        "Connections that are open.",
    )
    meter.create_observable_up_down_counter(
        f"{name}.max",
        [observe(lambda: pool.limit)],
        "{connection}",
        "Connections that may be open.",
    )
    meter.create_observable_up_down_counter(
        f"{name}.pending_requests",
        [observe(lambda: admission.waiting)],
        "{request}",
        "Requests that wait for a connection.",
    )
    meter.create_observable_counter(
        f"{name}.timeouts",
        [observe(lambda: pool.timeouts + admission.timeouts)],
        "{timeout}",
        "Requests that timed out while they waited for a connection.",
    )
    meter.create_observable_counter(
        "tasks.requests.refused",
        [observe(lambda: admission.refusals)],
        "{request}",
        "Requests that were refused immediately, because too many waited.",
    )


class LogExporter(logging.Handler):
    """A handler that exports log records with separate attributes, redacted as in logs.py.

    The SDK's own handler would export the texts of exceptions. Each record has
    the ids of the trace and the span of the request that logged it.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self.addFilter(lambda record: record.name.split(".")[0] not in NOT_EXPORTED)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue `record`. Never blocks."""
        try:
            self._provider.get_logger(record.name).emit(
                timestamp=int(record.created * 1e9),
                severity_number=SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
                severity_text=record.levelname,
                body=message(record),
                attributes=_attributes(record),
            )
        except Exception:
            self.handleError(record)


def _attributes(record: logging.LogRecord) -> dict[str, str]:
    attributes = {
        "user.id": getattr(record, "user_id", None),
        "http.request.id": getattr(record, "request_id", None),
        "client.address": getattr(record, "client", None),
        "endpoint": getattr(record, "endpoint", None),
    }
    if record.exc_info and (error := record.exc_info[1]) is not None:
        attributes["exception.type"] = tracebacks.name_of(error)
        attributes["exception.stacktrace"] = tracebacks.stack_trace(error)
    return {name: value for name, value in attributes.items() if value}
