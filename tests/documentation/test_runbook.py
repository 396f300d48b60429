"""docs/runbook.md has a row for each warning, error and 5xx of the service, and no other row."""

import inspect
import re
from collections.abc import Iterator

import pytest
import uvicorn.lifespan.on
import uvicorn.server

from config import ROOT
from errors import APIError, Overloaded, TooManyRequests
from postgres import connect_error
from tests.documentation.errors import error_classes
from tests.documentation.log_lines import ANY, NUMBER, Source, pattern
from tests.support.layers import MODULES

# uvicorn logs the first text at INFO, and the second only if its setting `lifespan` is "on".
NOT_OURS = {
    "ASGI 'lifespan' protocol appears unsupported.",
    "Exception in 'lifespan' protocol\n",
}
SOURCES = [
    *(Source(path.read_text()) for path in MODULES.values()),
    *(Source(inspect.getsource(module)) for module in (uvicorn.server, uvicorn.lifespan.on)),
]
PAGE = (ROOT / "docs/runbook.md").read_text()


CLASSES = {each.__name__: each for each in error_classes(APIError)}


def rows() -> list[str]:
    """Return the second cell of each table row, which is a line of the log."""
    cells = re.findall(r"^\|[^|]*\| (``?)(.*?)\1 \|", PAGE, re.MULTILINE)
    return [text for _, text in cells]


def texts() -> Iterator[str]:
    """Yield the texts that the service can log, without those that consist only of variables."""
    for source in SOURCES:
        for text in source.logged():
            if re.search("[a-zA-Z]{2}", text) and text not in NOT_OURS:
                yield text.strip()
        yield from reasons(source)
    for error in CLASSES.values():
        if error.status in (401, 403):
            yield f"{error.status} {error.code}: {ANY}"
    for error in (Overloaded, TooManyRequests):
        yield f"{error.status} {error.code}, {NUMBER} times within a second"


def reasons(source: Source) -> Iterator[str]:
    """Yield the log lines of the 503s that the module raises with a reason."""
    for call in source.calls():
        error = CLASSES.get(getattr(call.func, "id", ""))
        if error and error.status == 503 and call.args:
            for reason in source.texts(call.args[0]):
                yield f"{error.status} {error.code}: {reason}"


def is_of(row: str, text: str) -> bool:
    return bool(pattern(text).fullmatch(row) or pattern(row).fullmatch(text))


TEXTS = sorted(set(texts()))


@pytest.mark.parametrize("text", TEXTS)
def test_every_line_that_the_service_logs_has_a_row(text: str) -> None:
    assert any(is_of(row, text) for row in rows()), f"docs/runbook.md lacks: {text}"


@pytest.mark.parametrize("row", rows())
def test_every_row_is_a_line_that_the_service_logs(row: str) -> None:
    assert any(is_of(row, text) for text in TEXTS)


def test_every_error_of_500_or_above_is_in_the_runbook() -> None:
    codes = {error.code for error in CLASSES.values() if error.status >= 500}
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_every_reason_why_the_database_cannot_be_used_is_explained() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    kinds = {*connect_error._KINDS, *connect_error._WORDS, "TLS or authentication", "connection"}
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()
