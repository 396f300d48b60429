"""The two images of the example, which are built once for all tests."""

import pytest

from config import ROOT
from tests.deploying.steps import Image


@pytest.fixture(scope="session")
def auth_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(ROOT / "examples/auth", tmp_path_factory.mktemp("auth"))


@pytest.fixture(scope="session")
def frontend_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(ROOT / "examples/frontend", tmp_path_factory.mktemp("frontend"))
