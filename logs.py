"""Log lines: `[TIMESTAMP] [LEVEL] [USER_ID] [ENDPOINT] [MESSAGE]` on stdout, one line an event."""

import logging
import logging.config
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import psycopg2
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.types import Scope

from middleware.request_id import request_id

logger = logging.getLogger("tasks")

MAX_PATH = 4096  # bytes; room for a user id of 255 characters in UTF-8 and percent signs
JWT = re.compile(r"eyJ[\w-]*(\.[\w-]*)*")  # how each begins: base64url of `{"`

# Their texts quote what a caller sent: Postgres puts whole rows into DETAIL, pydantic the input.
_TELLTALE = (psycopg2.Error, DBAPIError, ValidationError)


class LineFormatter(logging.Formatter):
    """Formats a record as one line, followed by its stack trace if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        timestamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = (
            timestamp.replace("+00:00", "Z"),
            record.levelname,
            _one_line(getattr(record, "user_id", None) or "-"),
            _one_line(getattr(record, "endpoint", None) or "-"),
            _one_line(_message(record), brackets=True),
        )
        line = " ".join(f"[{field}]" for field in fields)
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + stack_trace(record.exc_info[1])
        return line


def _message(record: logging.LogRecord) -> str:
    request = getattr(record, "request_id", None)
    return f"{record.getMessage()} request_id={request}" if request else record.getMessage()


def _one_line(text: str, *, brackets: bool = False) -> str:
    """`text` with whatever could end the line, or its field, written as an escape."""
    if text.isprintable() and (brackets or not ("[" in text or "]" in text)):
        return text
    return "".join(
        character
        if character.isprintable() and (brackets or character not in "[]")
        else f"\\x{ord(character):02x}"
        for character in text
    )


def stack_trace(error: BaseException) -> str:
    """The stack traces of `error` and its causes, less the texts that could quote a caller."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(_one_trace(error, error.__traceback__) for error in chain)


def name_of(error: BaseException) -> str:
    """The name of the class of `error`, with its module."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _one_trace(error: BaseException, frames: TracebackType | None) -> str:
    if isinstance(error, _TELLTALE):
        state = getattr(getattr(error, "orig", error), "pgcode", None)
        text = f"(text withheld, SQLSTATE {state})" if state else "(text withheld)"
    else:
        text = _one_line(str(error), brackets=True)
    return "".join(traceback.format_tb(frames)) + f"{name_of(error)}: {text}"


def about(scope: Scope) -> dict[str, Any]:
    """The `extra` of a log call that concerns the request of `scope`; never its query string."""
    path = (scope.get("raw_path") or scope.get("path", "").encode()).split(b"?")[0]
    shown = JWT.sub("<token>", path[:MAX_PATH].decode("latin-1"))
    return {
        "user_id": scope.get("user_id"),
        "endpoint": f"{scope.get('method', '-')} {shown}",
        "request_id": request_id(scope),
    }


def configure(level: str) -> None:
    """Sends every logger of the process, uvicorn's included, to stdout in our form."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": LineFormatter}},
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "line",
                }
            },
            "root": {"level": level.upper(), "handlers": ["stdout"]},
            "loggers": {
                "uvicorn": {"level": level.upper(), "handlers": [], "propagate": True},
                # Ours has the user; theirs has the query string.
                "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            },
        }
    )
