"""Log lines: `[TIMESTAMP] [LEVEL] [USER_ID] [ENDPOINT] [MESSAGE]` on stdout, one line per event."""

import logging
import logging.config
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from observability.log_writer import LogWriter
from observability.redaction import redact, shown_path
from observability.request_id import request_id
from observability.tracebacks import one_line, stack_trace

logger = logging.getLogger("tasks")


class LineFormatter(logging.Formatter):
    """Formats a record as one line, followed by its stack trace if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        timestamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = (
            timestamp.replace("+00:00", "Z"),
            record.levelname,
            one_line(getattr(record, "user_id", None) or "-"),
            one_line(getattr(record, "endpoint", None) or "-"),
            one_line(_message(record), brackets=True),
        )
        line = " ".join(f"[{field}]" for field in fields)
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + stack_trace(record.exc_info[1])
        return line


class LineHandler(logging.Handler):
    """A handler that passes the lines to a LogWriter, so that nothing waits for the log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # the arguments of a log call don't match its text
            line = self.format(_fault(record, error))
        _writer.write(_encoded(line))

    def flush(self) -> None:
        """Wait for the writer, but not for long. Python calls this when the process exits."""
        _writer.flush()


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode(errors="backslashreplace")


def _fault(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    place = (record.pathname, record.lineno)
    info = (type(error), error, error.__traceback__)
    text = "The log call in %s, line %d, failed"
    return logging.LogRecord(logger.name, logging.ERROR, *place, text, place, info)


def _loss(count: int) -> bytes:
    text = "%d log lines were lost because nothing read the log"
    record = logging.LogRecord(logger.name, logging.WARNING, "", 0, text, (count,), None)
    return _encoded(LineFormatter().format(record))


def _stdout() -> int:
    """Return a descriptor for stdout that nothing else can close, so that no file can reuse it."""
    if sys.__stdout__ is None:  # it was closed when the process started
        return os.open(os.devnull, os.O_WRONLY)
    return os.dup(sys.__stdout__.fileno())


_writer = LogWriter(_stdout(), _loss)


def message(record: logging.LogRecord) -> str:
    """Return the message of `record` without text that may quote a client.

    After the first line, asyncio's messages show exceptions with their texts.
    """
    text = record.getMessage()
    return redact(text.partition("\n")[0] if record.name == "asyncio" else text)


def _message(record: logging.LogRecord) -> str:
    text = message(record)
    for name in ("client", "request_id"):
        if value := getattr(record, name, None):
            text += f" {name}={value}"
    return text


def request_context(scope: Scope) -> dict[str, Any]:
    """Return the `extra` of a log call that concerns the request of `scope`."""
    path: bytes = scope.get("raw_path") or scope.get("path", "").encode()
    user_id: str | None = scope.get("user_id")
    return {
        "user_id": user_id and redact(user_id),
        "endpoint": f"{scope.get('method', '-')} {shown_path(path.decode('latin-1'))}",
        "request_id": request_id(scope),
    }


def configure(level: str) -> None:
    """Send every logger of the process, uvicorn's included, to stdout in our format."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stdout": {"()": LineHandler}},
            "root": {"level": level.upper(), "handlers": ["stdout"]},
            "loggers": {
                "uvicorn": {"level": level.upper(), "handlers": [], "propagate": True},
                # Our access log has the user; uvicorn's has the query string.
                "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            },
        }
    )


def log_uncaught_errors() -> None:
    """Log uncaught errors, and warnings, in our format instead of on stderr.

    Python's own handlers would wait for the reader of stderr, and show the texts of exceptions.
    """
    sys.excepthook = lambda _, error, __: logger.critical("The service failed", exc_info=error)
    threading.excepthook = _log_failed_thread
    sys.unraisablehook = _log_unraisable
    logging.captureWarnings(True)


def _log_failed_thread(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else "unknown"
    logger.error("The thread %s failed", name, exc_info=failure.exc_value)


def _log_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    what = failure.err_msg or "Exception ignored"
    logger.error("%s (%s)", what, type(failure.object).__name__, exc_info=failure.exc_value)
