"""The folder that keeps the data of development."""

import os
from pathlib import Path

import pytest

from development.data_dir import data_folder


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    folder = tmp_path if os.geteuid() else Path("/proc")  # root may write to the first
    with pytest.raises(SystemExit) as exit_:
        data_folder(folder)
    assert str(exit_.value).startswith(f"Configuration error: DATA_DIR can't be used at {folder}: ")


def test_nothing_is_left_in_a_folder_that_can_be_written_to(tmp_path: Path) -> None:
    assert list(data_folder(tmp_path / "data").iterdir()) == []
