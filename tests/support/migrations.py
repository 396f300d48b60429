"""Run Alembic's commands in the test process."""

import io
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from config import ROOT, Settings, get_settings

MIGRATIONS = ROOT / "migrations"


def migrate(url: URL, revision: str = "head", *, scripts: Path = MIGRATIONS) -> str:
    """Migrate the database up, or down if `revision` begins with a minus, and return the output."""
    output = io.StringIO()
    config = Config(toml_file=ROOT / "pyproject.toml", stdout=output, output_buffer=output)
    config.set_main_option("script_location", str(scripts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", None)
        patch.setenv("MIGRATION_DATABASE_URL", url.render_as_string(hide_password=False))
        get_settings.cache_clear()
        (command.downgrade if revision.startswith("-") else command.upgrade)(config, revision)
    get_settings.cache_clear()
    return output.getvalue()
