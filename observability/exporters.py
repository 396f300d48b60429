"""OpenTelemetry's SDK, which collects telemetry and sends it by OTLP over HTTP.

The variables OTEL_* configure it. Each signal has a bounded queue, and a thread that sends the
queue. So a slow or missing collector does not delay requests, and data that does not fit in the
queue is dropped.
"""

import logging
import time
import uuid
from collections.abc import Callable
from threading import Thread
from typing import Any, Protocol

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from observability.instruments import (
    Application,
    Database,
    LogExporter,
    observe_pool,
    traced_connection,
)
from observability.logs import logger
from observability.redaction import redact, shown_path

NAME = "task-management-api"
STOP_LIMIT = 2.0  # seconds to send what is queued when the service stops
MAX_ATTRIBUTE = 4096  # characters, of a span's path for example


# The sender of each signal. Each raises ValueError for a setting that it does not understand.
PARTS: dict[str, Callable[[], Any]] = {
    "traces": lambda: BatchSpanProcessor(OTLPSpanExporter()),
    "metrics": lambda: PeriodicExportingMetricReader(OTLPMetricExporter()),
    "logs": lambda: BatchLogRecordProcessor(OTLPLogExporter()),
}


def _withhold_header(record: logging.LogRecord) -> bool:
    record.msg = "Telemetry: OTEL_EXPORTER_OTLP_HEADERS must be name=value, comma separated"
    record.args = ()
    return True


# The SDK logs a header that it can't read, and such a header may contain a key.
logging.getLogger("opentelemetry.util.re").addFilter(_withhold_header)
# The SDK logs a warning for each attribute that it cuts, such as a long path that a client sent, or
# the statement of the health check. Nothing is wrong then, because _span_limits asks for it.
logging.getLogger("opentelemetry.attributes").addFilter(
    lambda record: "truncating" not in record.msg
)


def _span_limits() -> SpanLimits:
    """Return the SDK's limits, with our own for attributes unless the environment sets one.

    A client may send a path of 64 KiB without a token, and 2,048 spans wait in the queue.
    """
    limits = SpanLimits()
    if limits.max_span_attribute_length is None:
        return SpanLimits(max_span_attribute_length=MAX_ATTRIBUTE)
    return limits


class Provider(Protocol):
    """The common interface of the three providers of the SDK."""

    def shutdown(self) -> None:
        """Send what is queued, however long the collector takes."""


class Redaction(SpanProcessor):
    """A span processor that hides tokens, and the query.

    A cursor in the query contains a title, and some clients put a token in the query.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Change the attributes that come from a request: its path and its Host header."""
        for name, value in tuple((span.attributes or {}).items()):
            if name == "url.query":
                span.set_attribute(name, "REDACTED")
            elif isinstance(value, str):
                shown = shown_path(value) if name == "url.path" else redact(value)
                span.set_attribute(name, shown)


class Exporting:
    """The export of `signals` from the service `app`, until it is stopped."""

    def __init__(self, signals: list[str], app: Application) -> None:
        parts = {signal: PARTS[signal]() for signal in signals}  # raises before anything is changed
        self._providers: list[Provider] = []
        self._handler: logging.Handler | None = None
        # Names from the environment take precedence. Each process is a separate instance.
        defaults = {
            "service.name": NAME,
            "service.version": app.version,
            "service.instance.id": str(uuid.uuid4()),
        }
        resource = Resource.create(defaults).merge(OTELResourceDetector().detect())
        if "traces" in parts:
            self._trace(resource, parts["traces"], app.state.database)
        if "metrics" in parts:
            self._measure(resource, parts["metrics"], app)
        if "logs" in parts:
            self._log(resource, parts["logs"])
        logger.info("OpenTelemetry: %s are exported", ", ".join(signals))

    def _trace(self, resource: Resource, sender: SpanProcessor, database: Database) -> None:
        provider = TracerProvider(
            resource=resource, shutdown_on_exit=False, span_limits=_span_limits()
        )
        provider.add_span_processor(Redaction())
        provider.add_span_processor(sender)
        trace.set_tracer_provider(provider)  # where FastAPI finds it
        database.connection_class = traced_connection(provider.get_tracer(NAME))
        self._providers.append(provider)

    def _measure(self, resource: Resource, sender: MetricReader, app: Application) -> None:
        provider = MeterProvider([sender], resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(provider)
        observe_pool(provider.get_meter(NAME), app.state.database.pool, app.state.admission)
        self._providers.append(provider)

    def _log(self, resource: Resource, sender: LogRecordProcessor) -> None:
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(sender)
        self._handler = LogExporter(provider)
        logging.getLogger().addHandler(self._handler)
        self._providers.append(provider)

    def stop(self) -> None:
        """Send what is queued, in STOP_LIMIT seconds at most.

        The SDK's own limit applies to each of its requests, so the total grows with their number.
        Its threads do not keep the process running.
        """
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
        deadline = time.monotonic() + STOP_LIMIT
        threads = [Thread(target=each.shutdown, daemon=True) for each in self._providers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            logger.warning("Not all telemetry could be sent within %g s", STOP_LIMIT)
