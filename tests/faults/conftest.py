"""A dedicated Postgres and service for tests that break them, and the report of what happened.

If FAULTS_REPORT names a file, a complete run that passes writes the report there: see
scripts/test-faults.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.faults import report
from tests.faults.load import Ledger, balance
from tests.faults.servers import Postgres, postgres
from tests.support.processes import Service, started

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request

Serve = Callable[..., AbstractContextManager[Service]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    target = os.environ.get("FAULTS_REPORT")
    whole = not session.config.option.keyword
    if target and whole and exitstatus == pytest.ExitCode.OK:
        Path(target).write_text(report.page())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def serve(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """A function that starts a service on `database`. The service migrates it.

    It is started by `python main.py`, or by Python on `command`.
    """

    def serve(
        url: URL | None = None, *command: str, **settings: Any
    ) -> AbstractContextManager[Service]:
        defaults = {
            "database_url": (url or database.tasks).render_as_string(False),
            "access_log": "false",
        }
        folder = tmp_path_factory.mktemp("service")
        return started(folder, *command, **{**defaults, **settings})

    return serve


@pytest.fixture(scope="module")
def service(serve: Serve) -> Iterator[Service]:
    """A service that all tests of a file share, so none of them may leave it needing a restart."""
    with serve() as service:
        yield service.starts()
        assert service.stops() == 0
        assert "Traceback" not in "\n".join(service.lines)


@pytest.fixture
def settle(database: Postgres) -> Callable[..., dict[str, Any]]:
    """A function that compares a ledger with the table, reports the result, and checks it.

    Every request must have a response, unless connections may be `cut`.
    """

    def settle(
        done: str, ledger: Ledger, *, url: URL | None = None, cut: bool = False, **seen: Any
    ) -> dict[str, Any]:
        counted = balance(ledger, url or database.url)
        report.note(done, ledger, {**counted, **seen})
        assert ledger.dishonest == []
        assert cut or not (ledger.broken + ledger.health_broken)
        assert counted["acknowledged"] == counted["found"] > 0
        assert (counted["lost"], counted["duplicated"]) == (0, 0)
        return counted

    return settle
