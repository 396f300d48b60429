from collections.abc import Iterator
from pathlib import Path

import pytest

from development import database as development
from development.database import running_postgres
from tests.support.processes import nothing_left_in
from tests.support.services import sql


@pytest.fixture(scope="session")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database folder that was used before, and holds one note."""
    folder = tmp_path_factory.mktemp("used")
    with running_postgres(folder) as url:
        sql(url, "CREATE TABLE notes AS SELECT 'kept' AS note")
    return folder


@pytest.fixture
def folder(used_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(development, "START_TIMEOUT", 20)
    with nothing_left_in(used_folder):
        yield used_folder
    (used_folder / "data/postmaster.pid").unlink(missing_ok=True)
