"""Traces, metrics and logs by OpenTelemetry, if the environment requests them.

FastAPI creates the spans and metrics of requests. instruments.py creates the others. The SDK is
imported only if a variable such as OTEL_EXPORTER_OTLP_ENDPOINT is set
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastapi.telemetry import TelemetryConfig

from observability.instruments import Application
from observability.logs import logger

if TYPE_CHECKING:
    from observability.exporters import Exporting

SIGNALS = ("traces", "metrics", "logs")
MISSING = (
    "Telemetry is asked for (OTEL_…), but its packages are not installed: "
    "`uv sync --no-dev --extra telemetry`. The service runs without."
)

# FastAPI's log records contain the texts of exceptions, and so what a client sent. Its spans of
# dependencies describe a path that our requests do not take. Its exporters have no time limit when
# the service stops.
FASTAPI: TelemetryConfig = {"logs": False, "operation_spans": False, "auto_configure": False}


@contextmanager
def exported(app: Application) -> Iterator[None]:
    """Export the signals that the environment requests, until the context ends.

    An error in telemetry is logged, and does not keep the service from serving requests.
    """
    exporting = _started(app)
    try:
        yield
    finally:
        if exporting is not None:
            exporting.stop()


def _started(app: Application) -> "Exporting | None":
    try:
        if signals := requested():
            from observability.exporters import Exporting

            return Exporting(signals, app)
    except ImportError:
        logger.warning(MISSING)
    except ValueError as error:
        logger.warning("Telemetry is off: a variable OTEL_… is wrong: %s", error)
    return None


def requested() -> list[str]:
    """Return the signals to export. Raises ValueError for a setting that is not supported."""
    if _variable("OTEL_SDK_DISABLED") == "true":
        return []
    return [signal for signal in SIGNALS if _is_requested(signal.upper())]


def _is_requested(signal: str) -> bool:
    exporter = _variable(f"OTEL_{signal}_EXPORTER")
    endpoint = _variable(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if exporter == "none" or not (exporter or endpoint):
        return False
    if exporter not in ("", "otlp"):
        raise ValueError(f"OTEL_{signal}_EXPORTER must be otlp or none")
    protocol = _variable(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise ValueError("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf")
    return True


def _variable(*names: str) -> str:
    """Return the first of these variables that is not empty, in lower case."""
    return next((value for name in names if (value := os.getenv(name, "").strip().lower())), "")
